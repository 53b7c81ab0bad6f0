import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const root = new URL('../../../', import.meta.url).pathname;

/** Both daemons' wiring for PostgreSQL and SQLite, without S3; then what Node has loaded for it. */
const script = `
  await import('./src/bin/arguments.ts');
  for (const file of ['core/config/load', 'backup/wire', 'backup/serve', 'restore/wire', 'restore/serve',
    'core/engines/postgres/backup/engine', 'core/engines/postgres/in-place/engine',
    'core/engines/sqlite/backup-engine', 'core/engines/sqlite/restore-engine'])
    await import('./src/' + file + '.ts');
  const { createRequire } = process.getBuiltinModule('node:module');
  const { cache } = createRequire(process.cwd() + '/');
  console.log([...process.moduleLoadList, ...Object.keys(cache)].join('\\n'));
`;

/** Each of them is megabytes that stay: docs/performance.md, "Memory and start". */
test.for([
  ['fetch, by an import of node:http that reads every export', /undici/],
  ['TLS, before a connection uses it', /^NativeModule (https|tls)$/m],
  ['mail, before one is sent', /node_modules\/nodemailer\//],
  ["the S3 client, where S3_BUCKET isn't set", /node_modules\/@aws-sdk\//],
  ['SSH and gRPC of the Docker client', /node_modules\/(ssh2|@grpc|protobufjs)\//],
  ['YAML, where there is no DATABASES_FILE', /node_modules\/yaml\//],
  ['better-sqlite3, which only helper processes use', /node_modules\/better-sqlite3\//],
] as const)('a daemon starts without %s', { timeout: 60_000 }, async ([, pattern]) => {
  const loaded = await modules();
  expect(loaded).toMatch(/node_modules\/dockerode\//);
  expect(loaded.split('\n').filter((name) => pattern.test(name))).toEqual([]);
});

let found: Promise<string> | undefined;

async function modules(): Promise<string> {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script];
  found ??= run(process.execPath, args, { cwd: root, maxBuffer: 1e7 }).then(({ stdout }) => stdout);
  return await found;
}
