import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { servers } from '../support/testbed.ts';
import { ownBackup } from './postgres-own-backup.ts';
import { ident, RestoreBed } from './postgres-restore-bed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

const dump = (body: string) =>
  `--\n-- PostgreSQL database dump\n--\n\n${body}\n\n--\n-- PostgreSQL database dump complete\n--\n`;

/** Everything that an attack could change and nothing that other tests on this server do. */
async function fingerprint(bed: RestoreBed, canary: string): Promise<unknown> {
  const one = (sql: string) => bed.admin.query(sql);
  return {
    settings: await one(`SELECT pg_read_file('postgresql.auto.conf') AS file,
      (SELECT string_agg(setconfig::text, ' ' ORDER BY setrole) FROM pg_db_role_setting
        WHERE setdatabase = 0 AND setrole::regrole::text !~ '^(test|dropback)_') AS everywhere`),
    roles: await one(`SELECT to_jsonb(a) AS role FROM pg_authid a
      WHERE rolname IN ('postgres', '${bed.owner}', '${bed.app}', '${bed.reader}')
         OR rolname LIKE 'evil%' ORDER BY rolname`),
    members: await one(`SELECT roleid::regrole::text AS role, member::regrole::text AS of
      FROM pg_auth_members WHERE member IN ('${bed.app}'::regrole, '${bed.owner}'::regrole)`),
    databases:
      await one(`SELECT oid, datdba, datconnlimit, datistemplate, datallowconn, datacl::text,
        (SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)
      FROM pg_database d WHERE datname IN ('${canary}', 'postgres', 'template1', 'evil') ORDER BY datname`),
    shared: await one(`SELECT spcname AS name FROM pg_tablespace UNION ALL
      SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'evil%' UNION ALL
      SELECT subname FROM pg_subscription WHERE subname LIKE 'evil%' UNION ALL
      SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'evil%' ORDER BY 1`),
    canary: await bed.value('SELECT string_agg(i::text, $$ $$) FROM public.precious', canary),
  };
}

describe.each(servers)('attacks on PostgreSQL $major, as superuser by default', (server) => {
  let bed: RestoreBed;
  let canary: string;
  /** Anybody may write here: the server's user and the daemon's. */
  let folder: string;
  let touched: string;
  let before: unknown;
  const table = 'CREATE TABLE public.t (i int);\nINSERT INTO public.t VALUES (2);\n';

  beforeAll(async () => {
    bed = await RestoreBed.create(server);
    folder = await mkdtemp(join(tmpdir(), 'dropback-canary-'));
    await chmod(folder, 0o777);
    touched = join(folder, 'touched');
    await writeFile(join(folder, 'script.sql'), `CREATE TABLE public.included ();`);
    await bed.admin.query(`ALTER DATABASE ${bed.live} OWNER TO postgres`);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    canary = await bed.database(`test_canary_${bed.id}`, '');
    await bed.sql('CREATE TABLE precious (i int); INSERT INTO precious VALUES (42)', canary);
    before = await fingerprint(bed, canary);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await bed?.[Symbol.asyncDispose]();
  });

  const untouched = async () => {
    expect(await readdir(folder)).toEqual(['script.sql']);
    expect(await fingerprint(bed, canary)).toEqual(before);
    expect(await bed.leftovers()).toEqual([]);
  };

  /** Code of the refusal; the live database must be the old one. */
  const refusal = async (body: string): Promise<string> => {
    const outcome = await bed.restore(bed.engine(), await bed.script(dump(body))).then(
      () => 'restored',
      (error: { code?: string; message: string }) => error.code ?? error.message,
    );
    expect(await bed.value('SELECT string_agg(i::text, $$ $$) FROM public.t'), body).toBe('1');
    return outcome;
  };

  test('no command of psql has any effect', async () => {
    const commands = [
      `\\! touch ${touched}`,
      `SELECT 1 \\! touch ${touched}\n;`,
      `\\copy public.t from program 'touch ${touched}'`,
      `\\copy public.t to '${touched}'`,
      `\\o |touch ${touched}\nSELECT 1;`,
      `\\o ${touched}\nSELECT 1;`,
      `SELECT 1 \\g |touch ${touched}\n`,
      `SELECT 1 \\g ${touched}\n`,
      `SELECT 'CREATE TABLE public.evil ()' \\gexec\n`,
      `\\set x \`touch ${touched}\``,
      `\\setenv PAGER 'touch ${touched}'`,
      `\\i ${join(folder, 'script.sql')}`,
      `\\ir ${join(folder, 'script.sql')}`,
      `\\connect ${canary}\nDROP TABLE public.precious;`,
      `\\c "dbname=${canary} user=postgres"`,
      `\\unrestrict \`touch ${touched}\``,
      `\\restrict x\n\\unrestrict x\n\\! touch ${touched}`,
      `\\w ${touched}`,
      `\\lo_export 1 ${touched}`,
      `\\lo_import /etc/passwd`,
    ];
    for (const command of commands) {
      expect(await refusal(`${table}${command}`), command).toMatch(/^drop\/(meta-command|unsup)/);
    }
    await untouched();
  });

  test('a script that psql reads otherwise than we do still commands nothing', async () => {
    const strings = `SELECT pg_catalog.set_config('standard_conforming_strings', 'off', false);`;
    const bodies = [
      // For psql the string goes on behind the backslash, and ends where we see one begin.
      `${strings}\nSELECT 'a\\'; SELECT ';\n\\! touch ${touched}\n';`,
      `${strings}\nSELECT 'a\\'; SELECT '\n\\o |touch ${touched}\n\\g\n';`,
    ];
    for (const body of bodies) expect(await refusal(table + body)).toMatch(/^drop\//);
    await untouched();
  });

  test('no statement reaches beyond staging', async () => {
    const alone = [
      `COMMIT;\nDROP DATABASE ${ident(canary)} WITH (FORCE);`,
      `BEGIN; CREATE TABLE public.x (); PREPARE TRANSACTION 'evil';`,
      `ALTER SYSTEM SET work_mem = '5MB';`,
      `CREATE TABLESPACE evil LOCATION '${folder}';`,
      `CREATE LANGUAGE plpython3u;`,
      `CREATE FUNCTION public.f() RETURNS int LANGUAGE c AS 'libc.so.6', 'system';`,
      `CREATE EXTENSION IF NOT EXISTS dblink WITH SCHEMA public;`,
      `CREATE EXTENSION IF NOT EXISTS postgres_fdw WITH SCHEMA public;`,
      `CREATE FOREIGN DATA WRAPPER evil;`,
      `CREATE SERVER evil FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname '${canary}');`,
    ];
    for (const statement of alone) {
      expect(await refusal(table + statement), statement).toMatch(/^drop\//);
    }
    await untouched();
  });

  test('nothing that PostgreSQL refuses to nobody is allowed to the file', async () => {
    const statements = [
      `SELECT 1 /* to see that one that is allowed is noticed */`,
      `COPY public.t FROM PROGRAM 'touch ${touched}; echo 1'`,
      `COPY public.t TO PROGRAM 'cat > ${touched}'`,
      `COPY public.t TO '${touched}'`,
      `SELECT pg_read_file('/etc/passwd')`,
      `SELECT pg_ls_dir('.')`,
      `SELECT lo_import('/etc/passwd')`,
      `SELECT lo_export(1, '${touched}')`,
      `SET SESSION AUTHORIZATION postgres`,
      `SET ROLE postgres`,
      `SELECT set_config('role', 'postgres', false)`,
      `SELECT set_config('session_preload_libraries', 'x', false)`,
      `SELECT set_config('temp_file_limit', '-1', false)`,
      `ALTER ROLE CURRENT_USER RESET temp_file_limit`,
      `ALTER ROLE CURRENT_USER SUPERUSER`,
      `ALTER ROLE CURRENT_USER CONNECTION LIMIT -1`,
      `CREATE ROLE evil`,
      `GRANT postgres TO CURRENT_USER`,
      `GRANT pg_execute_server_program TO CURRENT_USER`,
      `ALTER ROLE ${bed.app} SUPERUSER`,
      `ALTER DATABASE ${canary} CONNECTION LIMIT 0`,
      `ALTER DATABASE ${canary} OWNER TO CURRENT_USER`,
      `ALTER DATABASE ${canary} SET work_mem = '5MB'`,
      `ALTER DATABASE ${bed.live} SET work_mem = '5MB'`,
      `COMMENT ON DATABASE ${canary} IS 'x'`,
      `COMMENT ON ROLE ${bed.app} IS 'x'`,
      `CREATE FUNCTION public.f() RETURNS int LANGUAGE internal AS 'pg_reload_conf'`,
      `CREATE SUBSCRIPTION evil CONNECTION 'x' PUBLICATION p WITH (connect = false)`,
      `CREATE EVENT TRIGGER evil ON ddl_command_end EXECUTE FUNCTION pg_reload_conf()`,
      `CREATE PUBLICATION evil FOR ALL TABLES`,
      `SELECT pg_create_physical_replication_slot('evil', true)`,
      `SELECT pg_switch_wal()`,
      `SELECT pg_reload_conf()`,
      `SELECT pg_stat_reset()`,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'`,
      `SELECT rolpassword FROM pg_authid`,
      `UPDATE pg_authid SET rolsuper = true`,
      `SELECT * FROM pg_hba_file_rules`,
      `SECURITY LABEL ON ROLE postgres IS 'x'`,
      `CREATE CAST (text AS int) WITH INOUT AS IMPLICIT`,
      `CREATE OPERATOR CLASS public.evil DEFAULT FOR TYPE int USING btree AS OPERATOR 1 <`,
      `CREATE TYPE public.base (INPUT = int4in, OUTPUT = int4out)`,
      `CREATE FUNCTION pg_catalog.evil() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
      `ALTER FUNCTION pg_catalog.now() OWNER TO CURRENT_USER`,
      `ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON TABLES TO CURRENT_USER`,
      `LOAD '${touched}'`,
    ];
    const each = statements.map((sql) => {
      const quoted = sql.replaceAll("'", "''");
      return `BEGIN EXECUTE $x$${sql}$x$; INSERT INTO public.done VALUES ('${quoted}');
  EXCEPTION WHEN others THEN NULL; END;`;
    });
    // What is about databases and roles is left out, as in a dump of pg_dump -C.
    const body = `CREATE DATABASE evil;\nDROP DATABASE ${canary};\nALTER DATABASE ${canary} SET work_mem = '5MB';
SET ROLE postgres;\nRESET ROLE;\nSET SESSION AUTHORIZATION postgres;\nRESET SESSION AUTHORIZATION;
COMMENT ON DATABASE ${canary} IS 'x';\nGRANT ALL ON DATABASE ${canary} TO PUBLIC;\nGRANT postgres TO ${bed.app};
CREATE TABLE public.done (sql text);\n${table}DO $$ BEGIN\n${each.join('\n')}\nEND $$;`;
    await bed.restore(bed.engine(), await bed.script(dump(body)));
    expect(await bed.value('SELECT string_agg(sql, $$\n$$) FROM public.done')).toBe(statements[0]);
    await untouched();
  });

  test('what acts later acts as nobody: on load, in checks, at the handover, by autovacuum, in backups', async () => {
    const attempts = [
      `COPY (SELECT 1) TO PROGRAM 'touch ${touched}'`,
      `COPY (SELECT 1) TO '${touched}'`,
      `ALTER ROLE ${bed.app} SUPERUSER`,
      `ALTER ROLE ${bed.owner} PASSWORD 'x'`,
      `CREATE ROLE evil SUPERUSER`,
      `GRANT postgres TO ${bed.app}`,
      `ALTER DATABASE ${canary} CONNECTION LIMIT 0`,
      `ALTER DATABASE ${canary} SET work_mem = '5MB'`,
      `ALTER DATABASE ${bed.live} SET work_mem = '5MB'`,
      `SET ROLE postgres`,
      `RESET ROLE`,
      `SELECT lo_export(1, '${touched}')`,
    ].map((sql) => `BEGIN EXECUTE $x$${sql}$x$; EXCEPTION WHEN others THEN NULL; END;`);
    const body = `CREATE TABLE public.calls (who text);
CREATE FUNCTION public.act() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO public.calls VALUES (current_user);
  ${attempts.join('\n  ')}
  RETURN true; END $$;
CREATE FUNCTION public.evil(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM public.act(); RETURN i; END $$;
CREATE FUNCTION public.distance(a float8, b float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM public.act(); RETURN a - b; END $$;
CREATE TYPE public.span AS RANGE (subtype = float8, subtype_diff = public.distance);
CREATE DOMAIN public.dom AS int CHECK (public.act() AND pg_catalog.query_to_xml('SELECT public.act()', true, true, '') IS NOT NULL);
CREATE FUNCTION public.later() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM public.act(); RETURN NEW; END $$;
CREATE TABLE public.t (i int DEFAULT public.evil(1) CHECK (public.evil(i) IS NOT NULL), s public.span,
  d public.dom, g int GENERATED ALWAYS AS (public.evil(i)) STORED);
CREATE TRIGGER later BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.later();
INSERT INTO public.t (i, s, d) SELECT i, public.span(i, i + 1), i FROM generate_series(1, 8) i;
CREATE INDEX a ON public.t (public.evil(i)) WHERE public.evil(i) > 0;
CREATE INDEX b ON public.t ((i::public.dom));
CREATE STATISTICS public.c ON (public.evil(i)), i FROM public.t;
CREATE MATERIALIZED VIEW public.m AS SELECT public.evil(i) FROM public.t;
CREATE VIEW public.pg_class AS SELECT public.act();
CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT public.act()::int::bigint';
CREATE FUNCTION public.yes(bigint, int) RETURNS boolean LANGUAGE sql AS 'SELECT public.act()';
CREATE OPERATOR public.= (LEFTARG = bigint, RIGHTARG = int, FUNCTION = public.yes);
ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.t FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON public.t USING (public.act());
DO $$ BEGIN
  EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = public, pg_catalog', current_user, current_database());
  EXECUTE format('ALTER DATABASE %I SET role = postgres', current_database());
EXCEPTION WHEN others THEN
  EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = public, pg_catalog', current_user, current_database());
END $$;
DO $$ BEGIN EXECUTE format('ALTER ROLE %I SET search_path = public, pg_catalog', current_user); END $$;`;
    const drop = { ...(await bed.script(dump(body))), force: true };
    const { check } = await bed.restore(bed.engine(), drop);
    expect(check.tables).toContainEqual({ schema: 'public', name: 't', rows: 8 });
    await untouched();
    const superusers = `SELECT count(*) FROM public.calls JOIN pg_catalog.pg_roles ON rolname = who WHERE rolsuper`;
    expect(Number(await bed.value('SELECT pg_catalog.count(*) FROM public.calls'))).toBeGreaterThan(
      8,
    );
    expect(await bed.value(superusers.replace('count', 'pg_catalog.count'))).toBe('0');
    // As autovacuum does it later, and the next backup.
    await bed.sql('DELETE FROM calls; ANALYZE');
    await bed.sql('REFRESH MATERIALIZED VIEW public.m');
    await ownBackup(bed, bed.live);
    expect(Number(await bed.value('SELECT pg_catalog.count(*) FROM public.calls'))).toBeGreaterThan(
      8,
    );
    expect(await bed.value(superusers.replace('count', 'pg_catalog.count'))).toBe('0');
    await untouched();
  });
});
