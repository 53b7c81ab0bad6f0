import { existsSync } from 'node:fs';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import { samplePath } from '../support/samples.ts';
import { servers } from '../support/testbed.ts';
import { ident, RestoreBed } from './postgres-restore-bed.ts';

const dump = (body: string) =>
  `--\n-- PostgreSQL database dump\n--\n\n${body}\n\n--\n-- PostgreSQL database dump complete\n--\n`;

/** Identity and content of a live database, as a restore that is refused must leave them. */
async function liveIs(bed: RestoreBed): Promise<string> {
  const rows = await bed.value('SELECT string_agg(i::text, $$,$$ ORDER BY i) FROM public.t');
  return `${await bed.value('SELECT oid FROM pg_database WHERE datname = current_database()')} ${rows}`;
}

async function expectHarmless(bed: RestoreBed, drop: UnpackedDrop): Promise<string> {
  const before = await liveIs(bed);
  const error = await bed.restore(bed.engine(), drop).then(
    () => ({ code: 'restored' }),
    (reason: { code?: string; message: string }) => reason,
  );
  expect(await bed.leftovers()).toEqual([]);
  if (error.code !== 'restored') expect(await liveIs(bed)).toBe(before);
  return String(error.code ?? error);
}

describe.each(servers)('hostile and unfit files on PostgreSQL $major', (server) => {
  test('a script that attacks the server fails in staging, though DATABASE_URL is a superuser', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const touched = join(bed.folder, 'touched');
    const table = 'CREATE TABLE public.t (i int);\n';
    const attacks = [
      `COMMIT;\nDROP DATABASE ${ident(bed.live)} WITH (FORCE);`,
      `DROP DATABASE ${ident(bed.live)} WITH (FORCE);`,
      `\\! touch ${touched}`,
      `\\unrestrict x\n\\! touch ${touched}`,
      `ALTER SYSTEM SET work_mem = '5MB';`,
      `COPY public.t FROM PROGRAM 'touch ${touched}';`,
      `COPY public.t TO '${touched}';`,
      `ALTER ROLE CURRENT_USER SUPERUSER;`,
      `CREATE ROLE evil SUPERUSER;`,
      `SELECT pg_catalog.pg_read_file('/etc/passwd');`,
      `SELECT pg_catalog.lo_export(1, '${touched}');`,
      `DO $$ BEGIN EXECUTE 'SET SESSION AUTHORIZATION postgres'; END $$;`,
      `DO $$ BEGIN EXECUTE 'SET ROLE ${bed.owner}'; END $$;`,
      `CREATE EXTENSION IF NOT EXISTS adminpack;`,
      `CREATE FUNCTION public.f() RETURNS int LANGUAGE c AS 'x', 'y';`,
      `ALTER DATABASE ${ident(bed.live)} SET work_mem = '5MB'; DO $$ BEGIN EXECUTE 'ALTER DATABASE ${ident(bed.live)} RENAME TO gone'; END $$;`,
    ];
    for (const attack of attacks) {
      const code = await expectHarmless(bed, await bed.script(dump(`${table}${attack}`)));
      expect(code, attack).toMatch(/^(drop|restore)\//);
    }
    expect(existsSync(touched)).toBe(false);
  });

  test('what a file sets up to act on control later does not act', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const body = `CREATE TABLE public.t (i int);
CREATE TABLE public.proof (who text);
CREATE FUNCTION public.act() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN IF current_user = 'postgres' OR session_user = 'postgres' THEN
  INSERT INTO public.proof VALUES (current_user || ' ' || session_user); END IF; END $$;
CREATE FUNCTION public.evil(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM public.act(); RETURN i; END $$;
CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 666::bigint';
CREATE INDEX evil ON public.t (public.evil(i));
CREATE TABLE public.refused (times int);
DO $$ DECLARE setting text; refused int := 0; BEGIN
  FOREACH setting IN ARRAY ARRAY['role = ' || current_user, 'search_path = public, pg_catalog',
    'default_transaction_read_only = on'] LOOP
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %s', current_user, current_database(), setting);
    BEGIN EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
    EXCEPTION WHEN insufficient_privilege THEN refused := refused + 1; END;
  END LOOP;
  INSERT INTO public.refused VALUES (refused);
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database());
  ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
END $$;
INSERT INTO public.t SELECT generate_series(1, 500);
ALTER FUNCTION public.evil(integer) OWNER TO postgres;
GRANT SELECT ON TABLE pg_catalog.pg_authid TO ${bed.app};
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO ${bed.app};
ALTER TABLE pg_catalog.pg_authid OWNER TO ${bed.app};`;
    const { check } = await bed.restore(bed.engine(), await bed.script(dump(body)));
    expect(await bed.value('SELECT count(*) FROM public.proof')).toBe('0');
    expect(await bed.value('SELECT times FROM public.refused')).toBe('3');
    expect(check.tables.find((table) => table.name === 't')?.rows).toBe(500);
    const owner = `SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'evil'`;
    expect(await bed.value(owner)).toBe(bed.owner);
    const may = `SELECT has_table_privilege('${bed.app}', 'pg_authid', 'SELECT')
      OR has_function_privilege('${bed.app}', 'pg_read_file(text)', 'EXECUTE')`;
    expect(await bed.value(may)).toBe('false');
    expect(await bed.value('SELECT count(*) FROM pg_default_acl')).toBe('0');
    const settings = `SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
      WHERE d.datname = current_database()`;
    expect(await bed.value(settings)).toBe('0');
    expect(check.warnings.join('\n')).toMatch(/pg_authid.*left out/);
  });

  test('a file that grows beyond the disk budget is stopped', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int)');
    const body = `CREATE TABLE public.t (i int);
INSERT INTO public.t SELECT generate_series(1, 200000000);`;
    const drop = await bed.script(dump(body));
    const engine = bed.engine({ maxStagingBytes: 40_000_000 });
    await expect(bed.restore(engine, drop)).rejects.toMatchObject({ code: 'drop/over-budget' });
    expect(await bed.leftovers()).toEqual([]);
  });

  test('truncated and damaged archives are refused at inspection', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql(
      'CREATE TABLE t (i int, x text); INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 20000) i',
    );
    const engine = bed.engine();
    const half = await bed.dump('postgres-custom', bed.live);
    await truncate(half.path, Math.floor(half.contentBytes / 2));
    await expect(engine.inspect(half, bed.context())).rejects.toMatchObject({
      code: 'drop/truncated',
    });
    const flipped = await bed.dump('postgres-custom', bed.live);
    const bytes = await readFile(flipped.path);
    bytes.fill(0x55, bytes.length - 3000, bytes.length - 2000);
    await writeFile(flipped.path, bytes);
    await expect(engine.inspect(flipped, bed.context())).rejects.toMatchObject({
      code: expect.stringMatching(/^drop\//),
    });
    const cut = await bed.dump('postgres-plain', bed.live);
    await truncate(cut.path, Math.floor(cut.contentBytes / 2));
    await expect(engine.inspect(cut, bed.context())).rejects.toMatchObject({
      code: 'drop/truncated',
    });
  });

  test('another application, rows without tables, tables without rows are refused unless forced', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 5000)');
    const other = await bed.script(
      dump('CREATE TABLE public.other (i int);\nINSERT INTO public.other VALUES (1);'),
    );
    expect(await expectHarmless(bed, other)).toBe('drop/not-same-application');
    const data = await bed.dump('postgres-custom', bed.live, ['--data-only']);
    expect(await expectHarmless(bed, data)).toBe('drop/data-only');
    const dataScript = await bed.dump('postgres-plain', bed.live, ['--data-only']);
    expect(await expectHarmless(bed, dataScript)).toBe('drop/data-only');
    const schema = await bed.dump('postgres-plain', bed.live, ['--schema-only']);
    expect(await expectHarmless(bed, schema)).toBe('drop/schema-only');
    const { inspection } = await bed.restore(bed.engine(), { ...other, force: true });
    expect(inspection.differences.join()).toContain('public.t');
    expect(inspection.warnings.join()).toContain('forced');
  });

  test('a table that comes back empty though the live one has rows is told, before it is lost', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql(`CREATE TABLE t (i int); INSERT INTO t VALUES (1); CREATE TABLE was_empty (i int);
      CREATE TABLE "Orders" (i int); INSERT INTO "Orders" SELECT generate_series(1, 2000); ANALYZE`);
    const drop = await bed.dump('postgres-plain', bed.live, ['--exclude-table-data="Orders"']);
    const { check } = await bed.restore(bed.engine(), drop);
    const told = check.warnings.filter((line) => line.startsWith('tables that have rows now'));
    expect(told.join()).toMatch(/are empty in the file: public\.Orders \([\d.]+ kB\)$/);
  });

  test('extensions: missing ones and those that nobody asked for are refused, known ones are made', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const body = 'CREATE TABLE public.t (i int);\nINSERT INTO public.t VALUES (7);';
    const needs = (name: string) =>
      bed.script(dump(`CREATE EXTENSION IF NOT EXISTS ${name} WITH SCHEMA public;\n${body}`));
    expect(await expectHarmless(bed, await needs('no_such_thing'))).toBe('drop/extension-missing');
    expect(await expectHarmless(bed, await needs('file_fdw'))).toBe('drop/extension-not-allowed');
    await bed.sql(
      'CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE TABLE h (h ext.hstore)',
    );
    const drop = await bed.dump('postgres-custom', bed.live);
    await bed.restore(bed.engine(), drop);
    expect(
      await bed.value(
        `SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'hstore'`,
      ),
    ).toBe('ext');
  });

  test('a control role that is no superuser restores a foreign file', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB CREATEROLE`);
    await bed.sql(`CREATE TABLE t (i int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO ${bed.owner};
      GRANT SELECT ON t TO ${bed.reader}`);
    const drop = await bed.dump('postgres-plain', bed.live);
    await bed.sql('INSERT INTO t VALUES (2)');
    const connection = bed.connection({ user: bed.owner, password: 'pw' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    await bed.restore(bed.engine({ database }), drop);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
    expect(
      await bed.value(`SELECT has_table_privilege('${bed.reader}', 'public.t', 'SELECT')`),
    ).toBe('true');
    expect(await bed.leftovers()).toEqual([]);
  });

  test('missing rights are all named at once, with the statements that grant them', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    await bed.admin.query(`ALTER DATABASE ${bed.live} SET log_statement = 'ddl'`);
    await bed.admin.query(`GRANT CONNECT ON DATABASE ${bed.live} TO ${bed.app}`);
    const drop = await bed.dump('postgres-plain', bed.live);
    await using session = await bed.open(bed.live, bed.reader);
    await session.query('SELECT 1');
    const connection = bed.connection({ user: bed.app, password: 'pw' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    const engine = bed.engine({ database });
    const error = (await engine.inspect(drop, bed.context()).catch((one: unknown) => one)) as {
      code: string;
      hint: string;
    };
    expect(error.code).toBe('drop/not-possible-here');
    expect(error.hint).toContain(`ALTER ROLE "${bed.app}" CREATEDB;`);
    expect(error.hint).toContain(`ALTER ROLE "${bed.app}" CREATEROLE;`);
    expect(error.hint).toContain(`GRANT "${bed.owner}" TO "${bed.app}";`);
    expect(error.hint).toContain(`GRANT pg_signal_backend TO "${bed.app}";`);
    expect(error.hint).toContain(`GRANT SET ON PARAMETER "log_statement" TO "${bed.app}";`);
    const checks = await engine.checks(bed.context().signal);
    expect(checks.filter((check) => check.status === 'failed').length).toBeGreaterThan(2);
    const fine = await bed.engine().checks(bed.context().signal);
    expect(fine.filter((check) => check.status === 'failed')).toEqual([]);
  });

  test('RESTORE_LOAD_URL loads foreign files for a control role that cannot create roles', async () => {
    await using bed = await RestoreBed.create(server);
    const loader = await bed.role(`test_loader_${bed.id}`);
    await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB`);
    await bed.admin.query(`GRANT ${loader} TO ${bed.owner}`);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const drop = await bed.dump('postgres-custom', bed.live);
    const connection = bed.connection({ user: bed.owner, password: 'pw' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    const load = bed.connection({ user: loader, password: 'pw' });
    const { check } = await bed.restore(bed.engine({ database, load }), drop);
    expect(check.tables).toEqual([{ schema: 'public', name: 't', rows: 1 }]);
    expect(await bed.value(`SELECT tableowner FROM pg_tables WHERE tablename = 't'`)).toBe(
      bed.owner,
    );
    await bed.admin.query(`ALTER ROLE ${loader} CREATEDB`);
    const refused = bed.engine({ database, load }).inspect(drop, bed.context());
    await expect(refused).rejects.toMatchObject({ code: 'drop/not-possible-here' });
  });

  test('what a file sets on the role of RESTORE_LOAD_URL is gone after it', async () => {
    await using bed = await RestoreBed.create(server);
    const loader = await bed.role(`test_loader_${bed.id}`);
    await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB`);
    await bed.admin.query(`GRANT ${loader} TO ${bed.owner}`);
    await bed.admin.query(`ALTER ROLE ${loader} SET temp_file_limit = '1GB'`);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const connection = bed.connection({ user: bed.owner, password: 'pw' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    const load = bed.connection({ user: loader, password: 'pw' });
    const table = 'CREATE TABLE public.t (i int);\nINSERT INTO public.t VALUES (2);\n';
    const good = await bed.script(dump(table));
    const settings = () =>
      bed.admin.query(
        `SELECT setconfig FROM pg_db_role_setting WHERE setrole = '${loader}'::regrole`,
      );
    for (const [end, code] of [
      ['', 'restored'],
      ['SELECT 1/0;', 'drop/does-not-load'],
    ]) {
      const poisoned = `${table}
DO $$ BEGIN EXECUTE 'ALTER ROLE CURRENT_USER PASSWORD $p$mine$p$';
  EXECUTE 'ALTER ROLE CURRENT_USER SET work_mem = $p$1MB$p$';
  EXECUTE 'ALTER ROLE CURRENT_USER IN DATABASE ${bed.live} SET work_mem = $p$1MB$p$';
  EXECUTE 'ALTER ROLE CURRENT_USER SET local_preload_libraries = $p$nothing$p$';
END $$;\n${end}`;
      const hostile = await bed.script(dump(poisoned));
      const engine = bed.engine({ database, load });
      const outcome = await bed.restore(engine, hostile).then(
        () => 'restored',
        (error: { code?: string }) => error.code,
      );
      expect(outcome).toBe(code);
      expect(await settings()).toEqual([{ setconfig: ['temp_file_limit=1GB'] }]);
      await bed.restore(bed.engine({ database, load }), good);
      expect(await bed.value('SELECT i FROM public.t')).toBe('2');
      // On a role that is made for the file it is no reason to fail either.
      if (end === '') await bed.restore(bed.engine(), hostile);
    }
  });

  test('a prepared transaction in the live database is found before anything is stopped', async () => {
    await using bed = await RestoreBed.create(server);
    const most = await bed.value("SELECT current_setting('max_prepared_transactions')", 'postgres');
    if (most === '0') return;
    await bed.sql('CREATE TABLE t (i int)');
    const drop = await bed.dump('postgres-plain', bed.live);
    const gid = `test_${bed.id}`;
    await using session = await bed.open();
    for (const text of [
      'BEGIN',
      'INSERT INTO public.t VALUES (1)',
      `PREPARE TRANSACTION '${gid}'`,
    ]) {
      await session.query(text);
    }
    const refused = bed.engine().inspect(drop, bed.context());
    await expect(refused).rejects.toMatchObject({ code: 'drop/not-possible-here' });
    await session.query(`ROLLBACK PREPARED '${gid}'`);
  });
});

const pagila = samplePath('pagila.sql');

describe.each(pagila ? servers : [])('the Pagila sample on PostgreSQL $major', (server) => {
  test('restores into an empty database, then from its own dumps, equal each time', async () => {
    await using bed = await RestoreBed.create(server);
    const engine = bed.engine();
    await bed.restore(engine, await bed.drop('postgres-plain', pagila ?? ''));
    const wanted = await bed.picture(bed.live);
    expect(wanted.data.length).toBeGreaterThan(40_000);
    for (const format of ['postgres-custom', 'postgres-plain'] as const) {
      await bed.restore(engine, await bed.dump(format, bed.live));
      expect(await bed.picture(bed.live)).toEqual(wanted);
    }
  });
});
