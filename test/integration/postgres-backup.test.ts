import { stat } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { chooseClient, clientProgram } from '../../src/core/engines/postgres/clients.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { libpqEnvironment } from '../../src/core/engines/postgres/environment.ts';
import { ident, qualified } from '../../src/core/engines/postgres/quoting.ts';
import { runPipeline } from '../../src/core/runtime/process/pipeline.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never } from './postgres-backup-bed.ts';

const HOSTILE = [
  'we"ird',
  'new\nline',
  'dot.ted',
  'ünïcode 表',
  '-lead=ing',
  'ü'.repeat(31),
  '\\.',
  ';',
];

describe.each(servers)('a backup of PostgreSQL $major', (server) => {
  test('counts and reads back tables of every kind and name', async () => {
    await using bed = await BackupBed.create(server);
    const expected = [];
    for (const [index, name] of HOSTILE.entries()) {
      const schema = index % 2 === 0 ? 'public' : name;
      if (schema !== 'public') await bed.run(`CREATE SCHEMA ${ident(schema)}`);
      await bed.run(
        `CREATE TABLE ${qualified(schema, name)} (${ident(name)} text)`,
        `INSERT INTO ${qualified(schema, name)} SELECT E'\\\\.\\n\\t' || i FROM generate_series(0, ${index}) i`,
      );
      expected.push({ schema, name, rows: index + 1 });
    }
    await bed.run(
      'CREATE TABLE public.parent (a int)',
      'CREATE TABLE public.child () INHERITS (public.parent)',
      'INSERT INTO public.child VALUES (1), (2)',
      'CREATE TABLE public.parts (a int) PARTITION BY RANGE (a)',
      'CREATE TABLE public.part1 PARTITION OF public.parts FOR VALUES FROM (0) TO (10)',
      'INSERT INTO public.parts VALUES (1), (2), (3)',
      'CREATE UNLOGGED TABLE public.unlogged AS SELECT 1 AS a',
      'CREATE TABLE public.zero ()',
      'INSERT INTO public.zero DEFAULT VALUES',
      'CREATE MATERIALIZED VIEW public.mat AS SELECT 1 AS a',
      "SELECT lo_from_bytea(0, repeat('COPY public.x FROM stdin;', 9999)::bytea)",
      'SELECT lo_create(0)',
    );
    for (const [name, rows] of [
      ['parent', 0],
      ['child', 2],
      ['part1', 3],
      ['unlogged', 1],
      ['zero', 1],
    ] as const) {
      expected.push({ schema: 'public', name, rows });
    }
    const request = bed.request();
    const dump = await bed.engine.dump(request, never);
    const readBack = await bed.engine.readBack(request.spool, dump, never);
    const sorted = (tables: readonly object[]) => tables.map((t) => JSON.stringify(t)).toSorted();
    expect(sorted(dump.tables)).toEqual(sorted(expected));
    expect(sorted(readBack.tables)).toEqual(sorted(expected));
    expect(dump.database.properties['largeObjects']).toBe(2);
    expect(readBack.contentBytes).toBe(dump.archive.contentBytes);
    const file = await stat(request.spool);
    expect(file.size).toBe(dump.archive.bytes);
    expect(file.mode & 0o777).toBe(0o600);
  });

  test.each([
    'odd \'name\' = "x"',
    '-d postgres',
    'dbname=postgres user=nobody',
    `${'ü'.repeat(31)}x`,
  ])('dumps the database named %j and no other', async (name) => {
    await using bed = await BackupBed.create(server, name);
    await bed.run('CREATE TABLE public.mine AS SELECT 7 AS a');
    const request = bed.request();
    const dump = await bed.engine.dump(request, never);
    await bed.engine.readBack(request.spool, dump, never);
    expect(dump.database.name).toBe(name);
    expect(dump.tables).toEqual([{ schema: 'public', name: 'mine', rows: 1 }]);
    expect((await bed.engine.probe(never)).exists).toBe(true);
  });

  test('counts what it dumps while an application writes, and that restores', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('growing', 20_000);
    await using writer = await bed.open();
    let isDumping = true;
    const writing = (async () => {
      for (let i = 0; isDumping; i++) {
        await writer.query(`INSERT INTO public.growing VALUES (${i}, 'w'), (${i}, 'w')`);
        await writer.query(`DELETE FROM public.growing WHERE id = ${i + 1} AND filler <> 'w'`);
      }
    })();
    const request = bed.request();
    const dump = await bed.engine.dump(request, never).finally(() => {
      isDumping = false;
    });
    await writing;
    await bed.engine.readBack(request.spool, dump, never);

    await using target = await BackupBed.create(server);
    const client = await chooseClient({ serverMajor: server.major }, never);
    const { database } = target.connection;
    await runPipeline(
      [
        { name: 'zstd', file: '/usr/bin/zstd', args: ['-q', '-dc', request.spool] },
        {
          name: 'pg_restore',
          file: clientProgram(client, 'pg_restore'),
          args: ['--exit-on-error', `--dbname=${database}`],
          environment: libpqEnvironment(target.connection, { applicationName: 'dropback test' }),
        },
      ],
      { signal: never },
    );
    await using session = await target.open();
    const row = await session.queryOne<{ n: string }>('SELECT count(*) AS n FROM public.growing');
    expect(dump.tables).toEqual([{ schema: 'public', name: 'growing', rows: Number(row.n) }]);
  });

  test('leaves out the rows that the patterns name, and says which', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run(
      'CREATE TABLE public.keep AS SELECT 1 AS a',
      'CREATE TABLE public.log_1 AS SELECT generate_series(1, 5) AS a',
    );
    const request = bed.request({ excludeTableData: ['public.log_*'] });
    const dump = await bed.engine.dump(request, never);
    await bed.engine.readBack(request.spool, dump, never);
    expect(dump.tables).toEqual([
      { schema: 'public', name: 'keep', rows: 1 },
      { schema: 'public', name: 'log_1', rows: 0 },
    ]);
    expect(dump.warnings).toEqual([expect.stringContaining('public.log_1 (5 rows)')]);
    expect(dump.leftOut).toEqual([{ schema: 'public', name: 'log_1', rows: 5 }]);

    const uncounted = bed.request({ ...request, spool: `${request.spool}2`, rowCounts: 'archive' });
    const inArchive = await bed.engine.dump(uncounted, never);
    expect(inArchive.leftOut).toEqual([{ schema: 'public', name: 'log_1' }]);
    const { tables } = await bed.engine.readBack(uncounted.spool, inArchive, never);
    expect(tables).toEqual([{ schema: 'public', name: 'keep', rows: 1 }]);

    const misspelt = await bed.engine.dump(bed.request({ excludeTableData: ['lgo_*'] }), never);
    expect(misspelt.warnings).toEqual([expect.stringContaining('leaves nothing out')]);
    expect(misspelt.leftOut).toEqual([]);
    expect(misspelt.tables.map(({ rows }) => rows)).toEqual([1, 5]);
  });

  test('takes the counts from the archive where it is told to', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.t AS SELECT generate_series(1, 5) AS a');
    const request = bed.request({ rowCounts: 'archive' });
    const dump = await bed.engine.dump(request, never);
    expect(dump.tables).toEqual([]);
    const readBack = await bed.engine.readBack(request.spool, dump, never);
    expect(readBack.tables).toEqual([{ schema: 'public', name: 't', rows: 5 }]);
  });

  test('names roles, extensions, settings and what is not valid; no secret setting', async () => {
    await using bed = await BackupBed.create(server);
    const owner = await bed.role();
    const reader = await bed.role();
    const unrelated = await bed.role();
    await bed.run(
      'CREATE TABLE public.t (a int)',
      `ALTER TABLE public.t OWNER TO ${owner}`,
      `GRANT SELECT (a) ON public.t TO ${reader}`,
      'ALTER TABLE public.t ADD CONSTRAINT positive CHECK (a > 0) NOT VALID',
      `ALTER DATABASE ${ident(bed.connection.database)} SET work_mem = '7MB'`,
      `ALTER DATABASE ${ident(bed.connection.database)} SET app.jwt_secret = 'hush'`,
      'CREATE EXTENSION pg_trgm',
    );
    const dump = await bed.engine.dump(bed.request(), never);
    await bed.run(`DROP TABLE public.t`);
    expect(dump.roles).toEqual(expect.arrayContaining([owner, reader, 'postgres']));
    expect(dump.roles).not.toContain(unrelated);
    expect(dump.extensions).toEqual(['pg_trgm']);
    expect(dump.database.notValid).toEqual(['public.t.positive']);
    expect(dump.database.properties).toMatchObject({
      encoding: 'UTF8',
      'setting:work_mem': '7MB',
      'setting:app.jwt_secret': null,
      'extension:pg_trgm': expect.any(String),
    });
    expect(JSON.stringify(dump)).not.toContain('hush');
    expect(JSON.stringify(dump)).not.toContain(server.password);
  });

  test('a database that does not exist is told apart from a server that is down', async () => {
    await using bed = await BackupBed.create(server);
    const probe = await bed.engineAs({ database: 'not_there' }).probe(never);
    expect(probe).toMatchObject({ exists: false, sizeBytes: 0 });
    await expect(bed.engineAs({ port: 1 }).probe(never)).rejects.toMatchObject({
      code: 'database/unreachable',
      retryable: true,
    });
    await expect(bed.engineAs({ password: 'wrong' }).probe(never)).rejects.toMatchObject({
      code: 'database/auth-failed',
    });
  });

  test('the checks pass for a superuser and name the missing GRANT for another', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public."Secret" (a int)');
    const checks = await bed.engine.checks(never);
    expect(checks.filter((check) => check.status !== 'ok')).toEqual([]);
    const user = await bed.role();
    const failed = await bed.engineAs({ user, password: 'pw' }).checks(never);
    expect(failed.filter((check) => check.status !== 'ok')).toEqual([
      expect.objectContaining({
        id: 'postgres/rights/read',
        status: 'failed',
        message: expect.stringContaining('"public"."Secret"'),
        hint: expect.stringContaining(`GRANT pg_read_all_data TO "${user}"`),
      }),
    ]);
  });

  test('the lock is one for a database name, and tells who holds it', async () => {
    await using bed = await BackupBed.create(server);
    const heard: (string | undefined)[] = [];
    {
      await using held = await bed.engine.lock({ purpose: 'restore', waitMs: 0 }, never);
      expect(held.lost.aborted).toBe(false);
      const onWait = (holder: string | undefined) => heard.push(holder);
      await expect(
        bed.engine.lock({ purpose: 'backup', waitMs: 300, onWait }, never),
      ).rejects.toMatchObject({ code: 'lock/busy', retryable: true });
      await using other = await bed
        .engineAs({ database: 'another' })
        .lock({ purpose: 'backup', waitMs: 0 }, never);
      expect(other.lost.aborted).toBe(false);
    }
    expect(heard).toEqual([expect.stringContaining('dropback restore lock')]);
    await using again = await bed.engine.lock({ purpose: 'backup', waitMs: 0 }, never);
    await bed.admin.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dropback backup lock'",
    );
    await new Promise<void>((resolve) => {
      if (again.lost.aborted) resolve();
      else again.lost.addEventListener('abort', () => resolve());
    });
    expect(again.lost.reason).toMatchObject({ code: 'database/unreachable' });
  });

  test('nothing in the database stands in for what our sessions call', async () => {
    await using bed = await BackupBed.create(server);
    const database = ident(bed.connection.database);
    await bed.run(
      'CREATE SCHEMA evil',
      "CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 0'",
      `ALTER DATABASE ${database} SET search_path = evil, pg_catalog`,
      `ALTER DATABASE ${database} SET statement_timeout = '1ms'`,
      `ALTER DATABASE ${database} SET idle_in_transaction_session_timeout = '1ms'`,
    );
    await using session = await connect(bed.connection, { applicationName: 'x', signal: never });
    const row = await session.queryOne<{ pid: number; name: string }>(
      "SELECT pg_backend_pid() AS pid, current_setting('application_name') AS name",
    );
    expect(row).toEqual({ pid: session.backendPid, name: 'dropback x' });
    const request = bed.request();
    await bed.engine.readBack(request.spool, await bed.engine.dump(request, never), never);
  });
});
