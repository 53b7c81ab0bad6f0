import { readdirSync, readFileSync } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { writeArchive } from '../../src/core/engines/postgres/backup/dump-archive.ts';
import { chooseClient } from '../../src/core/engines/postgres/clients.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import type { DropbackError } from '../../src/core/runtime/errors.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never, until } from './postgres-backup-bed.ts';

interface FoundProcess {
  readonly pid: number;
  readonly commandLine: string;
}

/** Programs of this machine whose environment names this database; pg_dump and its kin. */
function programsFor(database: string): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      if (!environment.includes(`PGDATABASE=${database}`)) continue;
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (commandLine.includes('pg_dump')) found.push({ pid: Number(pid), commandLine });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Argument lists of what this process has started and that still runs. */
function childCommandLines(): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      if (!status.includes(`PPid:\t${process.pid}\n`)) continue;
      found.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

const firstProgram = (bed: BackupBed) => until(() => programsFor(bed.connection.database)[0]);

/** A dump that is under way for certain: pg_dump waits for a table that the test has locked. */
async function whileDumping(
  bed: BackupBed,
  act: (program: FoundProcess) => Promise<void> | void,
  signal: AbortSignal = never,
): Promise<{ error: DropbackError; spool: string }> {
  const request = bed.request();
  const dumping = bed.engine.dump(request, signal).then(
    () => undefined,
    (error: DropbackError) => error,
  );
  await act(await firstProgram(bed));
  const error = await dumping;
  expect(error).toBeDefined();
  return { error: error as DropbackError, spool: request.spool };
}

describe.each(servers)('what can go wrong with a backup of PostgreSQL $major', (server) => {
  test('a pg_dump that is killed is an error', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('large', 30_000);
    const { error } = await whileDumping(bed, ({ pid }) => {
      process.kill(pid, 'SIGKILL');
    });
    expect(error).toMatchObject({
      code: 'tool/failed',
      facts: { program: 'pg_dump', exitSignal: 'SIGKILL' },
    });
    await until(() => (programsFor(bed.connection.database).length === 0 ? true : undefined));
  });

  test('no password is in any argument list while it dumps', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('large', 30_000);
    let isDone = false;
    const dumping = bed.engine.dump(bed.request(), never).finally(() => {
      isDone = true;
    });
    const seen = new Set<string>();
    while (!isDone) {
      for (const commandLine of childCommandLines()) seen.add(commandLine);
      await systemClock.sleep(5, never);
    }
    await dumping;
    expect([...seen].some((line) => line.includes('--snapshot='))).toBe(true);
    expect([...seen].filter((line) => line.includes(server.password))).toEqual([]);
  });

  test.each(['dropback pg_dump', 'dropback snapshot'])(
    'a lost connection of "%s" is an error',
    async (name) => {
      await using bed = await BackupBed.create(server);
      await bed.fill('large', 30_000);
      const { error } = await whileDumping(bed, async () => {
        await until(async () => {
          const rows = await bed.admin.query(
            'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2',
            [bed.connection.database, name],
          );
          return rows.length > 0 ? true : undefined;
        });
      });
      expect(error).toMatchObject({ code: 'database/unreachable', retryable: true });
    },
  );

  test('a table that stays locked is an error that names who locks it', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.busy (a int)');
    await using migration = await bed.open();
    await migration.query('BEGIN');
    await migration.query('LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE');
    const error = await bed
      .engineAs({}, 300)
      .dump(bed.request(), never)
      .catch((thrown: DropbackError) => thrown);
    expect(error).toMatchObject({ code: 'backup/locked', retryable: true });
    expect((error as DropbackError).message).toContain(`pid ${migration.backendPid}`);
    expect((error as DropbackError).message).toContain('public.busy');
  });

  test('a table that is free again after the first attempt is dumped by the second', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.busy AS SELECT 1 AS a');
    await using migration = await bed.open();
    await migration.query('BEGIN');
    await migration.query('LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE');
    const request = bed.request();
    const log = Object.assign(Object.create(request.log), {
      warn: () => void migration.query('ROLLBACK'),
    });
    const dump = await bed.engineAs({}, 300).dump({ ...request, log }, never);
    expect(dump.tables).toEqual([{ schema: 'public', name: 'busy', rows: 1 }]);
  });

  test('a migration that queues up behind the dump does not stop the count', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('a_large', 30_000);
    await bed.run('CREATE TABLE public.z_last AS SELECT 1 AS a');
    const request = bed.request();
    const dumping = bed.engine.dump(request, never);
    await using migration = await bed.open();
    await until(async () => {
      const rows = await bed.admin.query(
        "SELECT FROM pg_stat_activity WHERE datname = $1 AND application_name = 'dropback pg_dump' AND query LIKE 'COPY%'",
        [bed.connection.database],
      );
      return rows.length > 0 ? true : undefined;
    });
    const truncating = migration.query('TRUNCATE public.z_last', [], never).catch(() => []);
    const dump = await dumping;
    await truncating;
    await bed.engine.readBack(request.spool, dump, never);
    expect(dump.tables.at(-1)).toEqual({ schema: 'public', name: 'z_last', rows: 1 });
  });

  test('an abort ends every program and session', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('large', 30_000);
    const stop = new AbortController();
    const { error } = await whileDumping(bed, () => stop.abort(), stop.signal);
    expect(error.code).toBe('run/aborted');
    expect(programsFor(bed.connection.database)).toEqual([]);
    await until(async () => {
      const rows = await bed.admin.query('SELECT FROM pg_stat_activity WHERE datname = $1', [
        bed.connection.database,
      ]);
      return rows.length === 0 ? true : undefined;
    });
  });

  test('a role that may not read, or not every row, is refused before anything is dumped', async () => {
    await using bed = await BackupBed.create(server);
    const user = await bed.role();
    await bed.run(
      'CREATE TABLE public.hidden (a int)',
      'CREATE TABLE public.filtered (a int)',
      'ALTER TABLE public.filtered ENABLE ROW LEVEL SECURITY',
      `GRANT SELECT ON public.filtered TO ${user}`,
      'SELECT lo_create(0)',
    );
    const attempt = () =>
      bed
        .engineAs({ user, password: 'pw' })
        .dump(bed.request(), never)
        .catch((thrown: DropbackError) => thrown);
    const error = (await attempt()) as DropbackError;
    expect(error.code).toBe('backup/not-permitted');
    expect(error.message).toContain('"public"."hidden"');
    expect(error.message).toContain('"public"."filtered"');
    expect(error.message).toContain('1 large objects');
    await bed.admin.query(`GRANT pg_read_all_data TO ${user}`);
    await bed.admin.query(`ALTER ROLE ${user} BYPASSRLS`);
    await bed.run(`SELECT lo_unlink(oid) FROM pg_largeobject_metadata`);
    expect(await attempt()).toMatchObject({ tables: [{ name: 'filtered' }, { name: 'hidden' }] });
    await bed.run(`DROP OWNED BY ${user}`);
  });

  test('a read-back names every difference', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.t AS SELECT generate_series(1, 5) AS a');
    const request = bed.request();
    const dump = await bed.engine.dump(request, never);
    const claimed = {
      ...dump,
      tables: [
        { schema: 'public', name: 't', rows: 6 },
        { schema: 'public', name: 'gone', rows: 1 },
      ],
    };
    await expect(bed.engine.readBack(request.spool, claimed, never)).rejects.toMatchObject({
      code: 'backup/read-back-mismatch',
      facts: {
        differences: [
          expect.stringContaining('public.t: 5'),
          expect.stringContaining('public.gone: 0'),
        ],
      },
    });
  });

  test.each(['flipped', 'cut'])('a %s byte in the archive is found', async (how) => {
    await using bed = await BackupBed.create(server);
    await bed.fill('t', 500);
    const request = bed.request();
    const dump = await bed.engine.dump(request, never);
    {
      await using file = await open(request.spool, 'r+');
      const at = Math.floor(dump.archive.bytes / 2);
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
      if (how === 'cut') await file.truncate(dump.archive.bytes - 1);
      else await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at);
    }
    await expect(bed.engine.readBack(request.spool, dump, never)).rejects.toMatchObject({
      code: expect.stringMatching(/^(archive\/unreadable|backup\/read-back-mismatch)$/),
    });
  });

  test('a disk that is full is told as that', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('t', 500);
    await using session = await bed.open();
    await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    const { id } = await session.queryOne<{ id: string }>('SELECT pg_export_snapshot() AS id');
    const command = {
      connection: bed.connection,
      client: await chooseClient({ serverMajor: server.major }, never),
      serverMajor: server.major,
      snapshot: id,
      snapshotAt: new Date(),
      lockWaitMs: 1000,
      skipUnlogged: false,
    };
    const request = bed.request({ spool: '/dev/full' });
    await expect(writeArchive(command, request, never)).rejects.toMatchObject({
      code: 'disk/full',
    });
  });

  test('a spool that exists is never overwritten', async () => {
    await using bed = await BackupBed.create(server);
    const request = bed.request();
    await writeFile(request.spool, 'precious');
    await expect(bed.engine.dump(request, never)).rejects.toThrow();
    expect(await readFile(request.spool, 'utf8')).toBe('precious');
  });
});
