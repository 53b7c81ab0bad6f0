import type { TableCount } from '../../../archive/manifest.ts';
import { literal } from '../quoting.ts';

/** Printed by psql once every table is locked; behind it the number of the transaction. */
export const LOCKED = 'dropback: every table is locked in transaction ';
/** Begins the message with which the transaction ends itself when rows are not as they should be. */
export const ROWS_DIFFER = 'dropback: the loaded tables are not those that were backed up: ';

const LOCK_TIMEOUT = '30s';
/** Without those of PostgreSQL, of extensions, and temporary ones. */
const RELATIONS = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relpersistence IN ('p', 'u')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                         WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                           AND e.objid = c.oid AND e.objsubid = 0 AND e.deptype = 'e')`;
const TABLES = `SELECT n.nspname::text AS schema, c.relname::text AS name FROM ${RELATIONS}`;

/** Nobody writes from here on, so that the safety dump misses nothing; reading goes on. */
export function lockAgainstWriters(): string {
  const number = 'SELECT pg_catalog.pg_current_xact_id()::text AS dropback_xid \\gset';
  return `BEGIN;\n${lockTables('EXCLUSIVE')}${number}\n\\echo ${literal(LOCKED)}:dropback_xid\n`;
}

/** Nobody reads either, and the statements that drop things have nothing to wait for. */
export function lockAgainstAll(): string {
  return lockTables('ACCESS EXCLUSIVE');
}

function lockTables(mode: string): string {
  return `SET lock_timeout = '${LOCK_TIMEOUT}';
DO $dropback$
DECLARE t record;
BEGIN
  FOR t IN ${TABLES} AND c.relkind IN ('r', 'p') ORDER BY 1, 2 LOOP
    EXECUTE pg_catalog.format('LOCK TABLE ONLY %I.%I IN ${mode} MODE', t.schema, t.name);
  END LOOP;
END $dropback$;
`;
}

/**
 * Tables and views first, with whatever hangs on them: what `--clean` prints can't take partitions
 * apart (it drops constraints that they inherit), and skips what is gone already.
 */
export function dropTables(): string {
  return `DO $dropback$
DECLARE t record;
BEGIN
  FOR t IN SELECT schema, name, what FROM (
    SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'v' THEN 'VIEW'
             WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS what
      FROM ${RELATIONS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')) r LOOP
    EXECUTE pg_catalog.format('DROP %s IF EXISTS %I.%I CASCADE', t.what, t.schema, t.name);
  END LOOP;
END $dropback$;
`;
}

/**
 * What an archive takes for granted and dropping objects leaves behind: no default privileges of
 * the database's own (they would be added to the grants of everything that is created), and the
 * schema public with the privileges that a new database gives it.
 */
export function forgetPrivileges(): string {
  return `DO $dropback$
DECLARE
  d record; g record; kind text; place text; public_acl aclitem[]; initial aclitem[];
BEGIN
  FOR d IN SELECT a.*, n.nspname FROM pg_catalog.pg_default_acl a
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = a.defaclnamespace LOOP
    kind := CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
              WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
              WHEN 'L' THEN 'LARGE OBJECTS' END;
    place := pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %s', d.defaclrole::pg_catalog.regrole)
      || CASE WHEN d.nspname IS NULL THEN '' ELSE pg_catalog.format(' IN SCHEMA %I', d.nspname) END;
    FOR g IN SELECT DISTINCT grantee FROM pg_catalog.aclexplode(d.defaclacl) LOOP
      EXECUTE pg_catalog.format('%s REVOKE ALL ON %s FROM %s', place, kind,
        CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::pg_catalog.regrole::text END);
    END LOOP;
    IF d.nspname IS NULL THEN
      EXECUTE pg_catalog.format('%s GRANT ALL ON %s TO %s', place, kind, d.defaclrole::pg_catalog.regrole);
      IF kind IN ('FUNCTIONS', 'TYPES') THEN
        EXECUTE pg_catalog.format('%s GRANT ALL ON %s TO PUBLIC', place, kind);
      END IF;
    END IF;
  END LOOP;
  SELECT n.nspacl, i.initprivs INTO public_acl, initial
    FROM pg_catalog.pg_namespace n
    JOIN pg_catalog.pg_init_privs i ON i.objoid = n.oid AND i.objsubid = 0
     AND i.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
   WHERE n.nspname = 'public' AND n.nspacl IS DISTINCT FROM i.initprivs
     AND pg_catalog.pg_has_role(n.nspowner, 'USAGE');
  IF FOUND THEN
    FOR g IN SELECT DISTINCT grantee FROM pg_catalog.aclexplode(public_acl) LOOP
      EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA public FROM %s CASCADE',
        CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::pg_catalog.regrole::text END);
    END LOOP;
    FOR g IN SELECT grantee, privilege_type FROM pg_catalog.aclexplode(initial) LOOP
      EXECUTE pg_catalog.format('GRANT %s ON SCHEMA public TO %s', g.privilege_type,
        CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::pg_catalog.regrole::text END);
    END LOOP;
  END IF;
END $dropback$;
`;
}

/** Ends the transaction with an error unless every table holds the rows that it should. */
export function requireRows(expected: readonly TableCount[]): string {
  const json = literal(JSON.stringify(expected));
  return `SET CONSTRAINTS ALL IMMEDIATE;
SET row_security = off;
CREATE TEMPORARY TABLE dropback_expected ON COMMIT DROP AS
  SELECT e.* FROM pg_catalog.jsonb_to_recordset(${json}::pg_catalog.jsonb)
    AS e(schema text, name text, rows bigint);
DO $dropback$
DECLARE t record; n bigint; wrong text[] := '{}';
BEGIN
  FOR t IN SELECT schema, name, e.rows, f.there
             FROM pg_temp.dropback_expected e FULL JOIN (SELECT *, true AS there FROM (
               ${TABLES} AND c.relkind = 'r') c) f USING (schema, name) LOOP
    IF t.there IS NULL THEN
      wrong := wrong || pg_catalog.format('%I.%I is missing', t.schema, t.name);
      CONTINUE;
    END IF;
    EXECUTE pg_catalog.format('SELECT pg_catalog.count(*) FROM ONLY %I.%I', t.schema, t.name) INTO n;
    IF n <> coalesce(t.rows, 0) THEN
      wrong := wrong || pg_catalog.format('%I.%I has %s rows, %s were expected',
        t.schema, t.name, n, coalesce(t.rows, 0));
    END IF;
  END LOOP;
  IF wrong <> '{}' THEN
    RAISE EXCEPTION USING MESSAGE = ${literal(ROWS_DIFFER)} || pg_catalog.array_to_string(wrong[1:10], '; ');
  END IF;
END $dropback$;
`;
}

/** psql sends one statement a round trip, so COMMIT goes alone, after everything has succeeded. */
export function commit(): string {
  return 'SET LOCAL synchronous_commit = on;\nCOMMIT;\n';
}
