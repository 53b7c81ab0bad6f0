import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findProgram } from '../../src/core/runtime/process/find-program.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { MemoryWatch, type Peaks } from '../support/memory.ts';
import { ScratchDatabase } from '../support/scratch-database.ts';
import { testbed } from '../support/testbed.ts';

const run = promisify(execFile);

/**
 * Sizes of the two databases. The full measurement, 200 MB against 2 GB:
 * `DROPBACK_TEST_LARGE_MB=2000 npx vitest run test/e2e/memory.test.ts`. The smaller one has to be
 * large enough for the collector to have reached its pace.
 */
const asked = Number(process.env['DROPBACK_TEST_LARGE_MB'] || 0);
const largeMb = asked || 360;
const smallMb = asked ? Math.round(asked / 10) : 130;
/** Else the first daemon would hold what strips the types of its sources, and later ones not. */
const alike = { NODE_DISABLE_COMPILE_CACHE: '1' };
/** How much more the daemon may take for the larger database. */
const tolerance = 1.15;
const withinMs = 60_000 + largeMb * 600;

interface Measured {
  readonly bytes: number;
  readonly backup: Peaks;
  readonly restore: Peaks;
}

describe.skipIf(!existsSync('/proc/self/smaps_rollup'))('memory of the daemons', () => {
  test.skipIf(!findProgram('sqlite3'))(
    'does not grow with a SQLite database',
    async () => {
      const measured: Measured[] = [];
      for (const megabytes of [smallMb, largeMb]) {
        await using bench = await Bench.create();
        const path = bench.path('data', 'app.db');
        await fillSqlite(path, megabytes);
        const environment = bench.environment({ DATABASE_URL: `sqlite:///${path}`, ...alike });
        const bytes = statSync(path).size;
        measured.push({ bytes, ...(await backUpAndRestore(bench, environment)) });
      }
      expectFlat('sqlite', measured);
    },
    2 * withinMs,
  );

  const server = testbed.postgres18;
  test.skipIf(!server)(
    'does not grow with a PostgreSQL database',
    async () => {
      if (!server) return;
      const measured: Measured[] = [];
      for (const megabytes of [smallMb, largeMb]) {
        await using bench = await Bench.create();
        await using scratch = await ScratchDatabase.create(server, 'test_memory');
        await scratch.sql(...fillPostgres(megabytes));
        const bytes = Number(await scratch.sql('SELECT pg_database_size(current_database())'));
        const environment = bench.environment({ DATABASE_URL: scratch.url, ...alike });
        const peaks = await backUpAndRestore(bench, environment);
        measured.push({ bytes, ...peaks });
        if (megabytes === smallMb) continue;
        await scratch.dump(bench.path('plain.sql'), '-Fp');
        const script = await restore(bench, environment, bench.path('plain.sql'));
        expectAlike('a script', script, peaks.restore);
        await scratch.dump(bench.path('plain.dump'), '-Fc', '--compress=0');
        const archive = await restore(bench, environment, bench.path('plain.dump'));
        expectAlike('a foreign archive', archive, peaks.restore);
      }
      expectFlat('postgres 18', measured);
    },
    2 * withinMs,
  );
});

/** One backup by db-backup, and its restore by db-restore, each a process that stays. */
async function backUpAndRestore(
  bench: Bench,
  environment: Readonly<Record<string, string>>,
): Promise<{ backup: Peaks; restore: Peaks }> {
  const backup = await backUp(bench, environment);
  const [manifest] = await bench.manifests();
  if (!manifest) throw new Error('there is no backup');
  return { backup, restore: await restore(bench, environment, bench.archivePath(manifest)) };
}

async function backUp(bench: Bench, environment: Readonly<Record<string, string>>): Promise<Peaks> {
  await using daemon = new Daemon('db-backup', environment);
  const watch = new MemoryWatch(daemon.pid);
  const listed = async () => ((await bench.manifests()).length > 0 ? true : undefined);
  await daemon.until('a backup', listed, withinMs);
  await daemon.says(/next backup/, withinMs);
  const peaks = await watch.stop();
  await daemon.stop();
  return peaks;
}

async function restore(
  bench: Bench,
  environment: Readonly<Record<string, string>>,
  path: string,
): Promise<Peaks> {
  await using daemon = new Daemon('db-restore', environment);
  const watch = new MemoryWatch(daemon.pid);
  await bench.drop(path);
  const look = () => bench.report(basename(path));
  const report = await daemon.until('a report', look, withinMs);
  const peaks = await watch.stop();
  expect(report.error).toBeUndefined();
  expect(report.outcome).toBe('restored');
  await daemon.stop();
  return peaks;
}

function expectFlat(what: string, [small, large]: readonly Measured[]): void {
  if (!small || !large) throw new Error('measured too little');
  const mb = (bytes: number) => Math.round(bytes / 1e6);
  for (const work of ['backup', 'restore'] as const) {
    const [before, after] = [small[work], large[work]];
    if (!before || !after) continue;
    const growth = after.own / before.own;
    console.log(
      `${what}, ${work}: ${mb(small.bytes)} MB database: ${mb(before.own)} MB resident ` +
        `(${mb(before.tree)} MB with its programs); ${mb(large.bytes)} MB: ` +
        `${mb(after.own)} MB (${mb(after.tree)} MB); factor ${growth.toFixed(3)}`,
    );
    expect(large.bytes / small.bytes, 'a larger database').toBeGreaterThan(2.5);
    expect(growth, `${what}, ${work}`).toBeLessThan(tolerance);
  }
}

/** Whoever wrote the file: of no restore do the bytes pass through the daemon. */
function expectAlike(what: string, found: Peaks, own: Peaks): void {
  const mb = (bytes: number) => Math.round(bytes / 1e6);
  console.log(`${what}: ${mb(found.own)} MB resident, a backup of its own: ${mb(own.own)} MB`);
  expect(found.own / own.own, what).toBeLessThan(tolerance);
}

async function fillSqlite(path: string, megabytes: number): Promise<void> {
  const rows = megabytes * 250;
  await run('sqlite3', [
    path,
    'PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF',
    'CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, content BLOB)',
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
       INSERT INTO items SELECT i, printf('item %08d', i), randomblob(3900) FROM n`,
    'CREATE INDEX items_by_name ON items (name)',
  ]);
}

function fillPostgres(megabytes: number): string[] {
  const hashes = [1, 2, 3, 4].map((n) => `encode(sha512((i || 'x${n}')::bytea), 'hex')`);
  return [
    'CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, content text)',
    `INSERT INTO items SELECT i, 'item ' || i, ${hashes.join(' || ')}
       FROM generate_series(1, ${Math.round(megabytes * 1600)}) AS i`,
    'CREATE INDEX items_by_name ON items (name)',
  ];
}
