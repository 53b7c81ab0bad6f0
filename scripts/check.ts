// `npm run check`: types and lint; with `npm test` this is everything that must be green.
import { spawnSync } from 'node:child_process';
import { root } from './setup.mjs';

const steps: readonly [string, ...string[]][] = [
  ['tsc', '-p', 'tsconfig.json'],
  ['biome', 'check', '.'],
];
let failed = 0;
for (const [command, ...args] of steps) {
  console.log(`${command} ${args.join(' ')}`);
  if (spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status !== 0) failed++;
}
process.exit(failed === 0 ? 0 : 1);
