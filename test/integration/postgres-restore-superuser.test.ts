import { describe, expect, test, vi } from 'vitest';
import type { RestoreState } from '../../src/core/engines/engine.ts';
import {
  dropUnusedStandIns,
  standInName,
} from '../../src/core/engines/postgres/restore/stand-in.ts';
import { servers } from '../support/testbed.ts';
import { ownBackup } from './postgres-own-backup.ts';
import { ident, RestoreBed } from './postgres-restore-bed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

const dump = (body: string) =>
  `--\n-- PostgreSQL database dump\n--\n\n${body}\n\n--\n-- PostgreSQL database dump complete\n--\n`;

/**
 * What the server calls by itself, or control's checks do, as the owner of a table or view. Each
 * notes whom it ran as: `proof` must not hold a superuser.
 */
const trap = `CREATE TABLE public.t (i int);
CREATE TABLE public.proof (who text);
CREATE FUNCTION public.act() RETURNS void LANGUAGE sql VOLATILE AS
  'INSERT INTO public.proof VALUES (current_user)';
CREATE FUNCTION public.evil(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM public.act(); RETURN i; END $$;
CREATE FUNCTION public.definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
CREATE TYPE public.tricky AS RANGE (subtype = float8);
CREATE TABLE public.r (x public.tricky);
CREATE VIEW public.seen AS SELECT i FROM public.t;
INSERT INTO public.t SELECT generate_series(1, 500);
CREATE INDEX evil ON public.t (public.evil(i)) WHERE public.evil(i) > 0;
CREATE STATISTICS public.evil_too ON (public.evil(i)), i FROM public.t;
CREATE MATERIALIZED VIEW public.kept AS SELECT public.evil(i) AS i FROM public.t LIMIT 1;
CREATE MATERIALIZED VIEW public.whose AS SELECT current_user::text AS who;
ALTER TABLE public.t OWNER TO postgres;`;

const simple = `CREATE TABLE public.t (i int PRIMARY KEY);
CREATE VIEW public.v AS SELECT i FROM public.t;
INSERT INTO public.t VALUES (7);`;

const ownedBySuperusers = `SELECT count(*) FROM (
  SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace
   UNION ALL SELECT proowner FROM pg_proc 
    WHERE pronamespace = 'public'::regnamespace AND prolang <> 12 /* constructors of ranges */) o
  JOIN pg_roles r ON r.oid = o.owner WHERE r.rolsuper`;

async function superuserBed(server: (typeof servers)[number]): Promise<RestoreBed> {
  const bed = await RestoreBed.create(server);
  await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
  await bed.admin.query(`ALTER DATABASE ${ident(bed.live)} OWNER TO postgres`);
  return bed;
}

describe.each(servers)('a foreign file for a superuser on PostgreSQL $major', (server) => {
  test('a check gives nothing of the file to the superuser, and leaves nothing', async () => {
    await using bed = await superuserBed(server);
    const engine = bed.engine();
    const body = `${trap}\nALTER TABLE public.r OWNER TO nobody_${bed.id};
GRANT SELECT ON TABLE public.t TO ${bed.reader};`;
    const drop = await bed.script(dump(body));
    const context = bed.context();
    const inspection = await engine.inspect(drop, context);
    let state: RestoreState = await engine.plan(
      inspection,
      { kind: 'live', rehearsal: true },
      context,
    );
    state = await engine.stage(state, drop, inspection, context);
    const check = await engine.check(state, inspection, context);
    expect(check.tables).toContainEqual({ schema: 'public', name: 't', rows: 500 });
    expect(check.warnings.join('\n')).toMatch(/postgres, is a superuser/);
    expect(check.warnings.join('\n')).toContain(`nobody_${bed.id}`);
    expect(await bed.value(ownedBySuperusers, String(state['stagingName']))).toBe('0');
    await engine.discard(state, context);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('a restore gives it to a role without rights, which is all that it runs as', async () => {
    await using bed = await superuserBed(server);
    // No superuser, but what it owns could write files of the server's all the same.
    await bed.admin.query(`GRANT pg_write_server_files TO ${bed.app}`);
    await bed.admin.query(`GRANT ${bed.app} TO ${bed.reader}`);
    const body = `${trap}\nALTER TABLE public.r OWNER TO ${bed.reader};`;
    const { check } = await bed.restore(bed.engine(), await bed.script(dump(body)));
    const standIn = standInName(bed.live);
    expect(check.warnings.join('\n')).toContain(standIn);
    expect(check.warnings.join('\n')).toMatch(`${bed.reader}, which would own it, is privileged`);
    expect(await bed.value(`SELECT tableowner FROM pg_tables WHERE tablename = 'r'`)).toBe(standIn);
    expect(await bed.value(ownedBySuperusers)).toBe('0');
    expect(
      await bed.value(`SELECT pg_get_userbyid(datdba) FROM pg_database
      WHERE datname = current_database()`),
    ).toBe('postgres');
    // As autovacuum does it, and a superuser who means no harm.
    await bed.sql('DELETE FROM proof');
    await bed.sql('ANALYZE');
    await bed.sql('VACUUM ANALYZE t');
    await bed.sql('REINDEX TABLE t');
    await bed.sql('REFRESH MATERIALIZED VIEW kept; REFRESH MATERIALIZED VIEW whose');
    expect(await bed.value('SELECT string_agg(DISTINCT who, $$,$$) FROM public.proof')).toBe(
      standIn,
    );
    expect(await bed.value('SELECT who FROM public.whose')).toBe(standIn);
    expect(await bed.value('SELECT public.definer()')).toBe(standIn);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('a file without the schema public, with an owner that nobody knows', async () => {
    await using bed = await superuserBed(server);
    const nobody = `nobody_${bed.id}`;
    const body = `${simple}\nALTER TABLE public.t OWNER TO ${nobody};
ALTER SCHEMA public RENAME TO elsewhere;`;
    const drop = { ...(await bed.script(dump(body))), force: true };
    const { check } = await bed.restore(bed.engine(), drop);
    expect(await bed.value('SELECT i FROM elsewhere.v')).toBe('7');
    expect(check.warnings.join()).toContain(`what it owned belongs to ${standInName(bed.live)}`);
  });

  test('the application of a superuser goes on changing what the file brought', async () => {
    await using bed = await superuserBed(server);
    await bed.restore(bed.engine(), await bed.script(dump(simple)));
    await bed.sql(`CREATE TABLE added (i int REFERENCES t); INSERT INTO t VALUES (1);
      INSERT INTO added VALUES (1); CREATE OR REPLACE VIEW v AS SELECT t.i FROM t JOIN added USING (i);
      ALTER TABLE t ADD COLUMN x text; DELETE FROM added; INSERT INTO added VALUES (1)`);
    expect(await bed.value('SELECT count(*) FROM public.v')).toBe('1');
  });

  test('its own backup keeps the role, on a server that has never seen it too', async () => {
    await using bed = await superuserBed(server);
    await bed.restore(bed.engine(), await bed.script(dump(simple)));
    const standIn = standInName(bed.live);
    const drop = await ownBackup(bed, bed.live);
    await bed.sql(`DROP OWNED BY ${standIn}`);
    await bed.admin.query(`DROP ROLE ${standIn}`);
    await bed.restore(bed.engine(), drop);
    expect(await bed.value(ownedBySuperusers)).toBe('0');
    expect(await bed.value(`SELECT tableowner FROM pg_tables WHERE tablename = 't'`)).toBe(standIn);
  });

  test("a dump of what the role owns keeps everything, on a server that doesn't know the role", async () => {
    await using bed = await superuserBed(server);
    await bed.restore(bed.engine(), await bed.script(dump(simple)));
    const standIn = standInName(bed.live);
    await bed.sql(`ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON v TO ${standIn};
      CREATE POLICY p ON t TO ${standIn} USING (i > 0)`);
    const drop = await bed.dump('postgres-plain', bed.live);
    await bed.sql(`DROP OWNED BY ${standIn}; CREATE TABLE t (i int)`);
    await bed.admin.query(`DROP ROLE ${standIn}`);
    await bed.restore(bed.engine(), drop);
    expect(await bed.value('SELECT sum(i) FROM public.v')).toBe('7');
    expect(await bed.value(`SELECT tableowner FROM pg_tables WHERE tablename = 't'`)).toBe(standIn);
    expect(await bed.value(`SELECT roles::text FROM pg_policies`)).toBe(`{${standIn}}`);
    expect(await bed.leftovers()).toEqual([]);
    // And where the role is known but the mark of a restore that is over must not be on it.
    expect(await dropUnusedStandIns(bed.admin, bed.live)).toEqual([]);
    expect(await bed.value(`SELECT shobj_description('${standIn}'::regrole, 'pg_authid')`)).toMatch(
      /^owns what foreign files brought/,
    );
  });

  test('the role goes with the last database in which it owns something', async () => {
    await using bed = await superuserBed(server);
    const engine = bed.engine();
    const { swap } = await bed.restore(engine, await bed.script(dump(simple)));
    await bed.restore(engine, await ownBackup(bed, String(swap.previous?.name)));
    const standIn = standInName(bed.live);
    const exists = `SELECT count(*) FROM pg_roles WHERE rolname = '${standIn}'`;
    expect(await bed.value(exists), 'the previous database needs it').toBe('1');
    const drop = await bed.script(dump(simple));
    await bed.restore(engine, drop);
    await bed.admin.query(`DROP DATABASE ${ident(bed.live)} WITH (FORCE)`);
    expect(await dropUnusedStandIns(bed.admin, bed.live)).toEqual([]);
    for (const name of bed.saved.map((state) => String(state['previousName']))) {
      await bed.admin.query(`DROP DATABASE IF EXISTS ${ident(name)} WITH (FORCE)`);
    }
    expect(await dropUnusedStandIns(bed.admin, bed.live)).toEqual([standIn]);
  });

  test('a control role that is neither superuser nor the owner hands over functions and types', async () => {
    await using bed = await RestoreBed.create(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const control = await bed.role(`test_control_${bed.id}`, 'CREATEDB CREATEROLE');
    await bed.admin.query(`GRANT ${bed.owner}, pg_signal_backend, pg_read_all_data TO ${control}`);
    const connection = bed.connection({ user: control, password: 'pw' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    const body = `${simple}\nCREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE public.colour AS ENUM ('red');\nCREATE SCHEMA apart;
CREATE FUNCTION apart.f() RETURNS int LANGUAGE sql AS 'SELECT 1';`;
    await bed.restore(bed.engine({ database }), await bed.script(dump(body)));
    const owners = `SELECT string_agg(DISTINCT pg_get_userbyid(proowner), ',') FROM pg_proc
      WHERE proname = 'f'`;
    expect(await bed.value(owners)).toBe(bed.owner);
    const acl = `SELECT nspacl FROM pg_namespace WHERE nspname = 'public'`;
    expect(await bed.value(acl)).not.toContain(bed.owner);
  });

  test('temporary files of a load are bounded by the disk budget', async () => {
    await using bed = await superuserBed(server);
    const body = `CREATE TABLE public.t (i int);
INSERT INTO public.t VALUES (1);
SELECT count(*) FROM (SELECT i FROM generate_series(1, 200000000) i ORDER BY -i OFFSET 1) s;`;
    const engine = bed.engine({ maxStagingBytes: 40_000_000 });
    const refused = bed.restore(engine, await bed.script(dump(body)), { kind: 'live' });
    await expect(refused).rejects.toMatchObject({
      message: expect.stringMatching(/temporary file size exceeds .*temp_file_limit/),
    });
    expect(await bed.leftovers()).toEqual([]);
  });
});
