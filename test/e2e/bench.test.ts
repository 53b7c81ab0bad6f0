import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { GROUPS, STUDIES } from '../../scripts/bench/options.ts';
import { installedPrograms } from '../../scripts/bench/postgres-installed.ts';
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
      args.push('--only', [...GROUPS, ...STUDIES].join(','));
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
      expect([...groups].sort(), stdout).toEqual([...GROUPS, ...STUDIES, 'held'].sort());
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

describe.skipIf(!installedPrograms())('the benchmark without a Docker engine', () => {
  test('has a server of what is installed, and leaves out what needs a newer one', async () => {
    const temporary = await mkdtemp(join(tmpdir(), 'dropback-e2e-bench-'));
    try {
      await chmod(temporary, 0o711);
      const out = join(temporary, 'docs');
      const wanted = ['backup/dropback', 'backup/gzip', 'backup/zstd5', 'one-core/gzip'];
      wanted.push('shapes/folder-1-2', 'shapes/stream-2', 'restore');
      const args = ['--size', '2MB', '--repetitions', '1', '--out', out];
      args.push('--only', 'backup,one-core,shapes,restore');
      args.push(...wanted.flatMap((id) => ['--contestant', id]));
      const record = join(out, 'testbed.json');
      await mkdir(out);
      await writeFile(record, '{}');
      const env = { ...process.env, TMPDIR: temporary, DROPBACK_TESTBED: record };
      const command = ['scripts/bench.ts', ...args];
      const { stdout } = await run(process.execPath, command, { cwd: root, env });
      const major = Number(/PostgreSQL (\d+) in /.exec(stdout)?.[1]);
      const [results] = await readResults(out);
      const newer = ['backup/zstd5', 'shapes/folder-1-2'];
      const possible = wanted.slice(0, -1).filter((id) => major >= 16 || !newer.includes(id));
      expect(results?.series.map(({ id }) => id).sort(), stdout).toEqual(possible);
      expect(stdout).toContain('left out: restore: there is no Docker engine');
      if (major < 16)
        expect(stdout).toMatch(/left out: pg_dump -Fc -Z zstd:5: PostgreSQL \d+ can't/);
      expect(await readdir(temporary)).toEqual(['docs']);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }, 300_000);
});
