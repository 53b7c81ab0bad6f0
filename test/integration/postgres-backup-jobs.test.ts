import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { manifestOf } from '../../src/backup/manifest-of.ts';
import { partialFolderOf } from '../../src/core/archive/archive-name.ts';
import type { DumpRequest } from '../../src/core/engines/engine.ts';
import {
  fitsFolder,
  fitsLocks,
  isWorthIt,
} from '../../src/core/engines/postgres/backup/dump-jobs.ts';
import { PostgresBackupEngine } from '../../src/core/engines/postgres/backup/engine.ts';
import { chooseClient } from '../../src/core/engines/postgres/clients.ts';
import { ident, qualified } from '../../src/core/engines/postgres/quoting.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import type { DropbackError } from '../../src/core/runtime/errors.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never, until } from './postgres-backup-bed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

const run = promisify(execFile);
const JOBS = 3;

interface DumpProcess {
  readonly pid: number;
  /** Started by pg_dump itself. */
  readonly isWorker: boolean;
  readonly commandLine: string;
}

/** Leader and workers of the parallel pg_dump of this database. */
function dumpProcesses(database: string): DumpProcess[] {
  const found: (Omit<DumpProcess, 'isWorker'> & { parent: number })[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      if (!environment.includes(`PGDATABASE=${database}`)) continue;
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const parent = Number(/PPid:\t(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
      if (/^\S*pg_dump /.test(commandLine)) found.push({ pid: Number(pid), parent, commandLine });
    } catch {
      // It has ended meanwhile.
    }
  }
  const pids = new Set(found.map(({ pid }) => pid));
  return found.map(({ pid, parent, commandLine }) => {
    return { pid, commandLine, isWorker: pids.has(parent) };
  });
}

const parallel = (bed: BackupBed) => bed.engineAs({}, 5000, JOBS);

/** Sessions of pg_dump that are copying rows out. */
async function copying(bed: BackupBed): Promise<true | undefined> {
  const rows = await bed.admin.query(
    "SELECT FROM pg_stat_activity WHERE datname = $1 AND application_name = 'dropback pg_dump' AND query LIKE 'COPY%'",
    [bed.connection.database],
  );
  return rows.length > 0 ? true : undefined;
}

/** Fails with what `act` does in the middle of a dump; then nothing of it is left. */
async function failsWhen(
  bed: BackupBed,
  act: (processes: readonly DumpProcess[]) => void,
  signal: AbortSignal = never,
): Promise<DropbackError> {
  await bed.fill('large', 30_000);
  await bed.fill('other', 30_000);
  const { database } = bed.connection;
  const request = bed.request();
  const dumping = parallel(bed)
    .dump(request, signal)
    .then(
      () => undefined,
      (error: DropbackError) => error,
    );
  await until(() => copying(bed));
  act(dumpProcesses(database));
  const error = await dumping;
  expect(error).toBeDefined();
  expect(dumpProcesses(database)).toEqual([]);
  expect(await readdir(bed.folder)).toEqual([request.spool.split('/').at(-1)]);
  return error as DropbackError;
}

async function roundTrip(bed: BackupBed, change: Partial<DumpRequest> = {}) {
  const request = bed.request(change);
  const engine = parallel(bed);
  const dump = await engine.dump(request, never);
  expect(await readdir(bed.folder)).toEqual([request.spool.split('/').at(-1)]);
  const readBack = await engine.readBack(request.spool, dump, never);
  expect(await readdir(bed.folder)).toEqual([request.spool.split('/').at(-1)]);
  return { request, dump, readBack };
}

const sorted = (tables: readonly object[]) => tables.map((t) => JSON.stringify(t)).toSorted();

describe.each(servers)('a backup of PostgreSQL $major with several jobs', (server) => {
  test('restores by hand as its manifest says, schema and rows equal', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.fill(bed.live);
    await using engine = new PostgresBackupEngine({
      database: { kind: 'postgres', connection: bed.connection(), maintenanceDatabase: 'postgres' },
      clock: systemClock,
      jobs: JOBS,
    });
    const plan = await engine.planDump({ freeBytes: 0 }, never);
    expect(plan).toEqual({ archiveExtension: '.tar', jobs: JOBS });
    const spool = join(bed.folder, 'app.tar.partial');
    const request = { compressionLevel: 3, excludeTableData: [], nice: 5, log: silentLogger() };
    const dump = await engine.dump({ ...request, spool, rowCounts: 'exact' }, never);
    const readBack = await engine.readBack(spool, dump, never);
    expect(sorted(readBack.tables)).toEqual(sorted(dump.tables));
    expect(dump.archive).toMatchObject({ format: 'postgres-directory', compression: 'none' });
    expect(readBack.contentBytes).toBe(dump.archive.contentBytes);
    expect(dump.database.properties['largeObjects']).toBeGreaterThan(0);
    const { mode, size } = await stat(spool);
    expect(mode & 0o777).toBe(0o600);
    expect(size).toBe(dump.archive.bytes);

    const archiveFile = 'app.tar';
    await rename(spool, join(bed.folder, archiveFile));
    const manifest = manifestOf({
      id: 'app_20261122T191500Z',
      name: 'app',
      engine: 'postgres',
      archiveFile,
      dump,
      readBack,
      rowCounts: 'exact',
      excludedTableData: [],
      finishedAt: new Date(),
      version: '0',
    });
    const restored = await bed.database(`test_by_hand_${bed.id}`);
    const { folder } = await chooseClient({ serverMajor: server.major }, never);
    for (const command of manifest.restoreByHand) {
      if (command.startsWith('createdb')) continue;
      const { host, port, password } = server;
      await run('/bin/sh', ['-c', command.replaceAll('NEW', restored)], {
        cwd: bed.folder,
        env: {
          PATH: `${folder}:/usr/bin:/bin`,
          PGHOST: host,
          PGPORT: String(port),
          PGUSER: 'postgres',
          PGPASSWORD: password,
        },
      });
    }
    expect(await bed.picture(restored)).toEqual(await bed.picture(bed.live));
  });

  test('two by themselves on one processor only where there is much to dump', () => {
    expect(isWorthIt(2, 1e6)).toBe(true);
    expect(isWorthIt(1, 0.9e9)).toBe(false);
    expect(isWorthIt(1, 1.1e9)).toBe(true);
  });

  test('two by themselves only where tables are worth a file each, and locks suffice', () => {
    expect(fitsFolder(2000, 1e6)).toBe(true);
    expect(fitsFolder(2001, 1e6)).toBe(false);
    expect(fitsFolder(9000, 9.5e9)).toBe(true);
    expect(fitsFolder(10_001, 1e12)).toBe(false);
    expect(fitsLocks(4266, 6400)).toBe(true);
    expect(fitsLocks(4267, 6400)).toBe(false);
  });

  test.skipIf(availableParallelism() < 2)(
    'by itself has two, with room for a folder and a tar, and not too many files',
    async () => {
      await using bed = await BackupBed.create(server);
      await bed.run('CREATE TABLE public.t AS SELECT generate_series(1, 5) AS a');
      const planned = async (times: number) => {
        const { sizeBytes } = await bed.engine.probe(never);
        const { archiveExtension } = await bed.engine.planDump(
          { freeBytes: sizeBytes * times },
          never,
        );
        return archiveExtension;
      };
      // What doesn't compress takes its size in the folder, and once more in the tar.
      expect(await planned(1.8)).toBe('.dump.zst');
      expect(await planned(4)).toBe('.tar');
      await bed.run('SELECT lo_create(0) FROM generate_series(1, 2000)');
      expect(await planned(4)).toBe('.dump.zst');
    },
  );

  test('is compressed inside, with zstd where pg_dump has it', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.t AS SELECT generate_series(1, 5) AS a');
    const { request, dump } = await roundTrip(bed);
    const { stdout } = await run('tar', ['-tf', request.spool]);
    const has = (ending: string) => stdout.split('\n').some((name) => name.endsWith(ending));
    const isModern = Number.parseInt(dump.tool.version, 10) >= 16;
    expect(has('.dat.zst')).toBe(isModern);
    expect(has('.dat.gz')).toBe(!isModern);
  });

  test('counts tables with hostile names, and large objects', async () => {
    await using bed = await BackupBed.create(server);
    const names = ['we"ird', 'new\nline', 'dot.ted', 'ünïcode 表', '-lead=ing', '\\.', ';', "a'b"];
    const expected = [];
    for (const [index, name] of names.entries()) {
      await bed.run(
        `CREATE SCHEMA ${ident(name)}`,
        `CREATE TABLE ${qualified(name, name)} (${ident(name)} text)`,
        `INSERT INTO ${qualified(name, name)} SELECT E'\\\\.\\n\\t' || i FROM generate_series(0, ${index}) i`,
      );
      expected.push({ schema: name, name, rows: index + 1 });
    }
    await bed.run("SELECT lo_from_bytea(0, repeat('x', 9999)::bytea) FROM generate_series(1, 50)");
    const { dump, readBack } = await roundTrip(bed);
    expect(sorted(dump.tables)).toEqual(sorted(expected));
    expect(sorted(readBack.tables)).toEqual(sorted(expected));
    expect(dump.database.properties['largeObjects']).toBe(50);
  });

  test('counts what it dumps while an application writes', async () => {
    await using bed = await BackupBed.create(server);
    for (const table of ['a', 'b', 'c', 'd']) await bed.fill(table, 5000);
    await using writer = await bed.open();
    let isDumping = true;
    const writing = (async () => {
      for (let i = 0; isDumping; i++) {
        for (const table of ['a', 'b', 'c', 'd']) {
          await writer.query(`INSERT INTO public.${table} VALUES (${i}, 'w'), (${i}, 'w')`);
        }
      }
    })();
    const request = bed.request();
    const engine = parallel(bed);
    const dump = await engine.dump(request, never).finally(() => {
      isDumping = false;
    });
    await writing;
    const readBack = await engine.readBack(request.spool, dump, never);
    expect(readBack.tables).toEqual(dump.tables);
    // One statement after the other: the tables of one snapshot differ by one of them at most.
    const rows = dump.tables.map((table) => table.rows);
    expect(Math.max(...rows) - Math.min(...rows)).toBeLessThanOrEqual(2);
  });

  test('leaves out the rows that the patterns name; counts from the archive alone', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run(
      'CREATE TABLE public.keep AS SELECT 1 AS a',
      'CREATE TABLE public.log_1 AS SELECT generate_series(1, 5) AS a',
    );
    const { dump, request } = await roundTrip(bed, { excludeTableData: ['public.log_*'] });
    expect(dump.tables.map(({ name, rows }) => [name, rows])).toEqual([
      ['keep', 1],
      ['log_1', 0],
    ]);
    expect(dump.warnings).toEqual([expect.stringContaining('public.log_1 (5 rows)')]);
    await rm(request.spool);
    const counted = await roundTrip(bed, { rowCounts: 'archive' });
    expect(counted.readBack.tables.map(({ rows }) => rows)).toEqual([1, 5]);
  });

  test('takes no more connections than leave some to others, and says so', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.t AS SELECT generate_series(1, 5) AS a');
    // One is the snapshot's, three are left, one is pg_dump's own: two jobs.
    const user = await bed.role('CONNECTION LIMIT 7');
    await bed.admin.query(`GRANT pg_read_all_data TO ${user}`);
    const engine = bed.engineAs({ user, password: 'pw' }, 5000, 16);
    const request = bed.request();
    const seen = new Set<string>();
    let isDone = false;
    const dumping = engine.dump(request, never).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      for (const { commandLine } of dumpProcesses(bed.connection.database)) seen.add(commandLine);
      await systemClock.sleep(2, never);
    }
    const dump = await dumping;
    expect(dump.warnings).toEqual([
      expect.stringContaining('dumped with 2 jobs instead of 16 (BACKUP_JOBS): 6 connections'),
    ]);
    expect([...seen].filter((line) => !line.includes('--jobs=2 '))).toEqual([]);
    await engine.readBack(request.spool, dump, never);
    const checks = await engine.checks(never);
    expect(checks.find(({ id }) => id === 'postgres/connections')?.status).toBe('warning');
  });

  test('a worker that is killed is an error', async () => {
    await using bed = await BackupBed.create(server);
    const error = await failsWhen(bed, (processes) => {
      const worker = processes.find(({ isWorker }) => isWorker);
      process.kill(worker?.pid ?? 0, 'SIGKILL');
    });
    expect(error).toMatchObject({ code: 'tool/failed', facts: { program: 'pg_dump' } });
  });

  test('a pg_dump that is killed is an error, and its workers end with it', async () => {
    await using bed = await BackupBed.create(server);
    const error = await failsWhen(bed, (processes) => {
      const leader = processes.find(({ isWorker }) => !isWorker);
      process.kill(leader?.pid ?? 0, 'SIGKILL');
    });
    expect(error).toMatchObject({ code: 'tool/failed', facts: { exitSignal: 'SIGKILL' } });
  });

  test('a connection that is lost is an error', async () => {
    await using bed = await BackupBed.create(server);
    let terminated: Promise<unknown> | undefined;
    const error = await failsWhen(bed, () => {
      terminated = bed.admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'dropback pg_dump' AND query LIKE 'COPY%'",
        [bed.connection.database],
      );
    });
    await terminated;
    expect(error).toMatchObject({ code: 'database/unreachable', retryable: true });
  });

  test('an abort ends every program and session, and leaves nothing', async () => {
    await using bed = await BackupBed.create(server);
    const stop = new AbortController();
    const error = await failsWhen(bed, () => stop.abort(), stop.signal);
    expect(error.code).toBe('run/aborted');
    await until(async () => {
      const rows = await bed.admin.query('SELECT FROM pg_stat_activity WHERE datname = $1', [
        bed.connection.database,
      ]);
      return rows.length === 0 ? true : undefined;
    });
  });

  test.each(['flipped', 'cut'])('a %s byte in the archive is found', async (how) => {
    await using bed = await BackupBed.create(server);
    await bed.fill('t', 500);
    const request = bed.request();
    const engine = parallel(bed);
    const dump = await engine.dump(request, never);
    {
      await using file = await open(request.spool, 'r+');
      const at = Math.floor(dump.archive.bytes / 2);
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
      if (how === 'cut') await file.truncate(at);
      else await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at);
    }
    await expect(engine.readBack(request.spool, dump, never)).rejects.toMatchObject({
      code: expect.stringMatching(/^(archive\/unreadable|backup\/read-back-mismatch)$/),
    });
    expect(await readdir(bed.folder)).not.toContain(partialFolderOf(request.spool));
    expect(await readdir(bed.folder)).toHaveLength(1);
  });
});
