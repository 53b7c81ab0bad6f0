// `npm test [-- vitest arguments]`: brings the test bed up, then runs every test that the machine
// can run. DROPBACK_TEST_INSTALL=0 installs nothing; DROPBACK_TEST_REQUIRE_ALL=1 (CI) lets nothing
// be left out.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const requireAll = process.env['DROPBACK_TEST_REQUIRE_ALL'] === '1';
const { ensureTestbed } = await import('../test/support/testbed/up.mjs');

console.log('test bed:');
const { missing, ...found } = await ensureTestbed({
  log: (line: string) => console.log(`  ${line}`),
});
const cache = join(root, '.cache');
mkdirSync(cache, { recursive: true });
const record = join(cache, 'testbed.json');
writeFileSync(record, JSON.stringify(found, null, 2), { mode: 0o600 });

if (missing.length > 0) {
  console.log('\nleft out on this machine:');
  for (const { part, why, how } of missing)
    console.log(`  ${part}: ${why}\n    to have it: ${how}`);
  if (requireAll) process.exit(1);
}

const report = join(cache, 'test-report.json');
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const result = spawnSync(
  process.execPath,
  [
    vitest,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, DROPBACK_TESTBED: record } },
);
process.exit(result.status ?? 1);
