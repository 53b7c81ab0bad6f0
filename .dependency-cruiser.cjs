/** Imports point one way: bin → backup | restore | cli → core. */
module.exports = {
  forbidden: [
    {
      name: 'core-imports-nothing-above-it',
      severity: 'error',
      from: { path: '^src/core' },
      to: { path: '^src/(bin|backup|restore|cli)' },
    },
    {
      name: 'backup-and-restore-never-import-each-other',
      severity: 'error',
      from: { path: '^src/(backup|restore|cli)/' },
      to: { path: '^src/(backup|restore|cli|bin)/', pathNot: '^src/$1/' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { extensions: ['.ts', '.js'] },
  },
};
