import { describe, expect, it } from 'vitest';
import { ScriptEncoding } from '../../../src/core/engines/postgres/script/encoding.ts';
import { parseOwnership } from '../../../src/core/engines/postgres/script/ownership.ts';
import { ownershipSql } from '../../../src/core/engines/postgres/script/ownership-sql.ts';

const utf8 = new ScriptEncoding('UTF8');
const parse = (sql: string, defaultSchema?: string) =>
  parseOwnership(Buffer.from(sql), { decode: utf8.decode, defaultSchema });
const rebuilt = (sql: string) => {
  const parsed = parse(sql);
  return parsed && ownershipSql(parsed).sql;
};

/** What pg_dump writes, and what is made of it. */
const OWNERS: [string, string][] = [
  ['ALTER TABLE public.t OWNER TO app;', 'ALTER TABLE "public"."t" OWNER TO "app";'],
  ['ALTER TABLE ONLY public.t OWNER TO app;', 'ALTER TABLE "public"."t" OWNER TO "app";'],
  [
    'ALTER TABLE "Sché""ma"."a.b; --" OWNER TO "o ""x";',
    'ALTER TABLE "Sché""ma"."a.b; --" OWNER TO "o ""x";',
  ],
  ['ALTER VIEW s.v OWNER TO app;', 'ALTER VIEW "s"."v" OWNER TO "app";'],
  ['ALTER MATERIALIZED VIEW s.v OWNER TO app;', 'ALTER MATERIALIZED VIEW "s"."v" OWNER TO "app";'],
  ['ALTER SEQUENCE s.q OWNER TO app;', 'ALTER SEQUENCE "s"."q" OWNER TO "app";'],
  ['ALTER FOREIGN TABLE s.f OWNER TO app;', 'ALTER FOREIGN TABLE "s"."f" OWNER TO "app";'],
  ['ALTER TYPE s.t OWNER TO app;', 'ALTER TYPE "s"."t" OWNER TO "app";'],
  ['ALTER DOMAIN s.d OWNER TO app;', 'ALTER DOMAIN "s"."d" OWNER TO "app";'],
  ['ALTER COLLATION s.c OWNER TO app;', 'ALTER COLLATION "s"."c" OWNER TO "app";'],
  ['ALTER CONVERSION s.c OWNER TO app;', 'ALTER CONVERSION "s"."c" OWNER TO "app";'],
  ['ALTER STATISTICS s.c OWNER TO app;', 'ALTER STATISTICS "s"."c" OWNER TO "app";'],
  [
    'ALTER TEXT SEARCH CONFIGURATION s.c OWNER TO app;',
    'ALTER TEXT SEARCH CONFIGURATION "s"."c" OWNER TO "app";',
  ],
  [
    'ALTER TEXT SEARCH DICTIONARY s.c OWNER TO app;',
    'ALTER TEXT SEARCH DICTIONARY "s"."c" OWNER TO "app";',
  ],
  ['ALTER SCHEMA s OWNER TO app;', 'ALTER SCHEMA "s" OWNER TO "app";'],
  [
    'ALTER PROCEDURAL LANGUAGE plperl OWNER TO app;',
    'ALTER PROCEDURAL LANGUAGE "plperl" OWNER TO "app";',
  ],
  ['ALTER FOREIGN DATA WRAPPER w OWNER TO app;', 'ALTER FOREIGN DATA WRAPPER "w" OWNER TO "app";'],
  ['ALTER SERVER w OWNER TO app;', 'ALTER SERVER "w" OWNER TO "app";'],
  ['ALTER PUBLICATION p OWNER TO app;', 'ALTER PUBLICATION "p" OWNER TO "app";'],
  ['ALTER SUBSCRIPTION p OWNER TO app;', 'ALTER SUBSCRIPTION "p" OWNER TO "app";'],
  ['ALTER EVENT TRIGGER p OWNER TO app;', 'ALTER EVENT TRIGGER "p" OWNER TO "app";'],
  ['ALTER LARGE OBJECT 16400 OWNER TO app;', 'ALTER LARGE OBJECT 16400 OWNER TO "app";'],
  [
    'ALTER OPERATOR s.=== (integer, s.mood) OWNER TO app;',
    'ALTER OPERATOR "s".=== (integer, "s"."mood") OWNER TO "app";',
  ],
  [
    'ALTER OPERATOR s.!! (NONE, integer) OWNER TO app;',
    'ALTER OPERATOR "s".!! (NONE, integer) OWNER TO "app";',
  ],
  [
    'ALTER OPERATOR CLASS s.c USING btree OWNER TO app;',
    'ALTER OPERATOR CLASS "s"."c" USING "btree" OWNER TO "app";',
  ],
  [
    'ALTER OPERATOR FAMILY s.c USING gist OWNER TO app;',
    'ALTER OPERATOR FAMILY "s"."c" USING "gist" OWNER TO "app";',
  ],
  ['ALTER FUNCTION s.f() OWNER TO app;', 'ALTER FUNCTION "s"."f"() OWNER TO "app";'],
  [
    'ALTER FUNCTION s.f(a integer, "B c" character varying, double precision, text[], VARIADIC z s.mood[]) OWNER TO app;',
    'ALTER FUNCTION "s"."f"("a" integer, "B c" character varying, double precision, "pg_catalog"."text"[], VARIADIC "z" "s"."mood"[]) OWNER TO "app";',
  ],
  [
    'ALTER PROCEDURE s.p(INOUT n integer, OUT double double precision) OWNER TO app;',
    'ALTER PROCEDURE "s"."p"(INOUT "n" integer, OUT "double" double precision) OWNER TO "app";',
  ],
  [
    'ALTER FUNCTION s.f(ts timestamp with time zone, t time without time zone, "char") OWNER TO app;',
    'ALTER FUNCTION "s"."f"("ts" timestamp with time zone, "t" time without time zone, "pg_catalog"."char") OWNER TO "app";',
  ],
  ['ALTER AGGREGATE s.a(*) OWNER TO app;', 'ALTER AGGREGATE "s"."a"(*) OWNER TO "app";'],
  [
    'ALTER AGGREGATE s.a(ORDER BY anyelement) OWNER TO app;',
    'ALTER AGGREGATE "s"."a"(ORDER BY "pg_catalog"."anyelement") OWNER TO "app";',
  ],
  [
    'ALTER AGGREGATE s.a(double precision ORDER BY integer, text) OWNER TO app;',
    'ALTER AGGREGATE "s"."a"(double precision ORDER BY integer, "pg_catalog"."text") OWNER TO "app";',
  ],
];

const GRANTS: [string, string][] = [
  ['GRANT ALL ON TABLE s.t TO app;', 'GRANT ALL ON TABLE "s"."t" TO "app";'],
  [
    'GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE s.t TO app;',
    'GRANT SELECT, INSERT, DELETE, UPDATE ON TABLE "s"."t" TO "app";',
  ],
  [
    'GRANT SELECT(id),UPDATE("na me", b) ON TABLE s.t TO app WITH GRANT OPTION;',
    'GRANT SELECT ("id"), UPDATE ("na me", "b") ON TABLE "s"."t" TO "app" WITH GRANT OPTION;',
  ],
  ['GRANT SELECT ON s.t TO PUBLIC;', 'GRANT SELECT ON TABLE "s"."t" TO PUBLIC;'],
  [
    'GRANT SELECT ON TABLE s.t TO a, PUBLIC, "B";',
    'GRANT SELECT ON TABLE "s"."t" TO "a", PUBLIC, "B";',
  ],
  [
    'GRANT SELECT,USAGE ON SEQUENCE s.q TO app;',
    'GRANT SELECT, USAGE ON SEQUENCE "s"."q" TO "app";',
  ],
  [
    'GRANT ALL ON FUNCTION s.f(a integer) TO app;',
    'GRANT ALL ON FUNCTION "s"."f"("a" integer) TO "app";',
  ],
  [
    'GRANT ALL ON PROCEDURE s.f(INOUT a integer) TO app;',
    'GRANT ALL ON PROCEDURE "s"."f"(INOUT "a" integer) TO "app";',
  ],
  ['GRANT USAGE ON SCHEMA s TO app;', 'GRANT USAGE ON SCHEMA "s" TO "app";'],
  ['GRANT ALL ON TYPE s.t TO app;', 'GRANT ALL ON TYPE "s"."t" TO "app";'],
  ['GRANT ALL ON LANGUAGE plperl TO app;', 'GRANT ALL ON LANGUAGE "plperl" TO "app";'],
  ['GRANT SELECT ON LARGE OBJECT 1 TO app;', 'GRANT SELECT ON LARGE OBJECT 1 TO "app";'],
  [
    'GRANT ALL ON FOREIGN DATA WRAPPER w TO app;',
    'GRANT ALL ON FOREIGN DATA WRAPPER "w" TO "app";',
  ],
  ['GRANT ALL ON FOREIGN SERVER w TO app;', 'GRANT ALL ON FOREIGN SERVER "w" TO "app";'],
  ['GRANT SET ON PARAMETER work_mem TO app;', 'GRANT SET ON PARAMETER "work_mem" TO "app";'],
  ['REVOKE ALL ON SCHEMA public FROM PUBLIC;', 'REVOKE ALL ON SCHEMA "public" FROM PUBLIC;'],
  [
    'REVOKE GRANT OPTION FOR SELECT ON TABLE s.t FROM app;',
    'REVOKE GRANT OPTION FOR SELECT ON TABLE "s"."t" FROM "app";',
  ],
  [
    'ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s GRANT SELECT ON TABLES TO app;',
    'ALTER DEFAULT PRIVILEGES FOR ROLE "o" IN SCHEMA "s" GRANT SELECT ON TABLES TO "app";',
  ],
  [
    'ALTER DEFAULT PRIVILEGES FOR ROLE "O 1" REVOKE ALL ON FUNCTIONS FROM PUBLIC;',
    'ALTER DEFAULT PRIVILEGES FOR ROLE "O 1" REVOKE ALL ON FUNCTIONS FROM PUBLIC;',
  ],
  [
    'ALTER DEFAULT PRIVILEGES FOR ROLE o GRANT ALL ON TYPES TO app WITH GRANT OPTION;',
    'ALTER DEFAULT PRIVILEGES FOR ROLE "o" GRANT ALL ON TYPES TO "app" WITH GRANT OPTION;',
  ],
];

const NOT_UNDERSTOOD = [
  'ALTER TABLE t OWNER TO app;',
  'ALTER TABLE s.t OWNER TO CURRENT_USER;',
  'ALTER TABLE s.t OWNER TO SESSION_USER;',
  'ALTER TABLE s.t OWNER TO PUBLIC;',
  'ALTER TABLE s.t OWNER TO app; DROP DATABASE x;',
  'ALTER TABLE s.t ADD COLUMN a int, OWNER TO app;',
  'ALTER TABLE s.t.u OWNER TO app;',
  'ALTER TABLE U&"s".t OWNER TO app;',
  'ALTER TABLE sché.t OWNER TO app;',
  'ALTER TABLE "".t OWNER TO app;',
  'ALTER ROLE a SUPERUSER;',
  'ALTER SYSTEM SET x = 1;',
  'ALTER LARGE OBJECT 4294967296 OWNER TO app;',
  'ALTER LARGE OBJECT 0x1 OWNER TO app;',
  'ALTER OPERATOR s.(integer, integer) OWNER TO app;',
  'ALTER FUNCTION s.f(a integer DEFAULT 1) OWNER TO app;',
  'ALTER FUNCTION s.f(numeric(1)) OWNER TO app;',
  'ALTER FUNCTION s.f(integer[3]) OWNER TO app;',
  'ALTER FUNCTION s.f(integer OWNER TO app;',
  'ALTER INDEX s.i OWNER TO app;',
  'GRANT app TO other;',
  'GRANT ALL ON ALL TABLES IN SCHEMA s TO app;',
  'GRANT ALL ON TABLE s.a, s.b TO app;',
  'GRANT ALL ON TABLE s.a TO app WITH ADMIN OPTION;',
  'GRANT ALL ON TABLE s.a TO app CASCADE;',
  'GRANT FLY ON TABLE s.a TO app;',
  'GRANT ALL ON TABLE s.a TO CURRENT_USER;',
  'REVOKE ALL ON TABLE s.a FROM app CASCADE;',
  'GRANT SELECT ON TABLE s.t TO;',
  'ALTER DEFAULT PRIVILEGES GRANT SELECT ON INDEXES TO app;',
  'GRANT SET ON PARAMETER "work;mem" TO app;',
];

describe('ownership', () => {
  it.each([...OWNERS, ...GRANTS])('%s', (sql, wanted) => {
    expect(rebuilt(sql)).toBe(wanted);
    // What was built says the same again.
    expect(rebuilt(wanted)).toBe(wanted);
  });

  it.each(NOT_UNDERSTOOD)('doesn’t take %s', (sql) => {
    expect(parse(sql)).toBeUndefined();
  });

  it('takes comments and any case of keywords', () => {
    expect(rebuilt('alter /* x */ Table s.T -- y\n owner TO App;')).toBe(
      'ALTER TABLE "s"."t" OWNER TO "app";',
    );
  });

  it('puts unqualified names into the schema of the search_path', () => {
    const parsed = parse('ALTER TABLE t OWNER TO app;', 'old');
    expect(parsed && ownershipSql(parsed).sql).toBe('ALTER TABLE "old"."t" OWNER TO "app";');
  });

  it('reads names in the encoding of the script, and none that mean nothing in it', () => {
    const bytes = Buffer.from('ALTER TABLE s."\xe9" OWNER TO app;', 'latin1');
    const latin = new ScriptEncoding('LATIN1');
    expect(parseOwnership(bytes, { decode: latin.decode })).toMatchObject({
      object: { name: 'é' },
    });
    expect(parseOwnership(bytes, { decode: utf8.decode })).toBeUndefined();
  });

  it('keeps the grants of known roles, under new names', () => {
    const role = (name: string) => ({ app: 'APP', o: 'o' })[name];
    const sql = (text: string) => {
      const parsed = parse(text);
      return parsed && ownershipSql(parsed, { role });
    };
    expect(sql('GRANT SELECT ON TABLE s.t TO app, gone, PUBLIC;')).toEqual({
      sql: 'GRANT SELECT ON TABLE "s"."t" TO "APP", PUBLIC;',
      leftOut: ['gone'],
    });
    expect(sql('GRANT SELECT ON TABLE s.t TO gone;')).toEqual({
      sql: undefined,
      leftOut: ['gone'],
    });
    expect(sql('ALTER TABLE s.t OWNER TO gone;')).toEqual({ sql: undefined, leftOut: ['gone'] });
    expect(sql('GRANT SELECT ON TABLE s.t TO app GRANTED BY o;')).toMatchObject({ grantor: 'o' });
    expect(sql('GRANT SELECT ON TABLE s.t TO app GRANTED BY gone;')?.sql).toBeUndefined();
    expect(
      sql('ALTER DEFAULT PRIVILEGES FOR ROLE gone GRANT SELECT ON TABLES TO app;')?.sql,
    ).toBeUndefined();
  });

  it('leaves out what an older server has no word for', () => {
    const parsed = parse('GRANT SELECT,MAINTAIN ON TABLE s.t TO app;');
    expect(parsed && ownershipSql(parsed, { serverMajor: 16 }).sql).toBe(
      'GRANT SELECT ON TABLE "s"."t" TO "app";',
    );
    const large = parse(
      'ALTER DEFAULT PRIVILEGES FOR ROLE o GRANT SELECT ON LARGE OBJECTS TO app;',
    );
    expect(large && ownershipSql(large, { serverMajor: 17 }).sql).toBeUndefined();
    expect(large && ownershipSql(large, { serverMajor: 18 }).sql).toContain('ON LARGE OBJECTS');
  });
});
