import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { readResults } from '../../scripts/bench/results.ts';
import { testbed } from '../support/testbed.ts';

const run = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;

const hasParts = testbed.docker && testbed.postgres18 && testbed.s3;

describe.skipIf(!hasParts)('the benchmark', () => {
  test('measures every group at a tiny size, writes the page, and leaves nothing', async () => {
    const temporary = await mkdtemp(join(tmpdir(), 'dropback-e2e-bench-'));
    try {
      const out = join(temporary, 'docs');
      const args = ['--size', '2MB', '--repetitions', '1', '--jobs', '2', '--out', out];
      // The record goes with it: without one it would look for a test bed in its own folder.
      const record = join(out, 'testbed.json');
      await mkdir(out);
      await writeFile(record, JSON.stringify(testbed), { mode: 0o600 });
      const env = { ...process.env, TMPDIR: temporary, DROPBACK_TESTBED: record };
      const { stdout } = await run(process.execPath, ['scripts/bench.ts', ...args], {
        cwd: root,
        env,
        maxBuffer: 1 << 24,
      });
      const [results] = await readResults(out);
      const groups = new Set(results?.series.map(({ id }) => id.slice(0, id.indexOf('/'))));
      const wanted = ['backup', 'one-core', 'encrypted', 'upload', 'held', 'restore', 'sqlite'];
      expect([...groups].sort(), stdout).toEqual([...wanted, 'daemons'].sort());
      for (const { id, samples } of results?.series ?? []) {
        expect(samples, id).toHaveLength(1);
        expect(samples[0]?.seconds, id).toBeGreaterThan(0);
      }
      const page = await readFile(join(out, 'benchmarks.md'), 'utf8');
      expect(page).toContain('| backup | `pg_dump \\| gzip` | 5 times faster or better |');
      expect(page).not.toMatch(/NaN|undefined/);
      expect(await readdir(temporary)).toEqual(['docs']);
      const containers = await run('docker', ['ps', '-a', '--format', '{{.Names}}']);
      const ours = stdout.match(/dropback-bench-\w+/g) ?? [];
      expect(ours.length).toBeGreaterThan(0);
      expect(ours.filter((name) => containers.stdout.includes(name))).toEqual([]);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }, 600_000);
});
