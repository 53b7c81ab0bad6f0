import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { verdictOf } from '../../src/backup/verify/verdict.ts';
import { failureOf } from '../support/failure.ts';
import { servers } from '../support/testbed.ts';
import { RehearsalBed } from './postgres-rehearsal-bed.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** `act` says who calls it, and changes a role where it may. */
const hostile = (victim: string) => `--
-- PostgreSQL database dump
--

CREATE FUNCTION public.act(i int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
  BEGIN EXECUTE 'ALTER ROLE ${victim} CONNECTION LIMIT 7'; EXCEPTION WHEN others THEN NULL; END;
  RETURN current_user || ' ' || session_user || ' ' || (SELECT bool_or(rolsuper OR rolcreaterole)::text
    FROM pg_catalog.pg_roles WHERE rolname IN (current_user, session_user));
END $$;
CREATE DOMAIN public.dom AS int CHECK (public.act(VALUE) IS NOT NULL);
CREATE TABLE public.t (i int CHECK (public.act(i) IS NOT NULL), d public.dom,
  who text GENERATED ALWAYS AS (public.act(i)) STORED);
INSERT INTO public.t (i, d) SELECT i, i FROM pg_catalog.generate_series(1, 8) i;
CREATE INDEX a ON public.t (public.act(i)) WHERE public.act(i) IS NOT NULL;
CREATE MATERIALIZED VIEW public.m AS SELECT public.act(i) AS who FROM public.t;
CREATE VIEW public.pg_class AS SELECT public.act(1) AS relname;
ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.t FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON public.t USING (public.act(i) IS NOT NULL);

--
-- PostgreSQL database dump complete
--
`;

describe.each(servers)('rehearsals by a superuser on PostgreSQL $major', (server) => {
  test('what a foreign file once brought never runs as the superuser', async () => {
    await using bed = await RehearsalBed.create(server, 1, async (source) => {
      const script = await source.script(hostile(source.app));
      await source.restore(source.engine(), script);
    });
    const who = String.raw`~ '^dropback_load_(\w+) dropback_load_\1 false$'`;
    const queries = [
      `SELECT count(*) = 8 AND bool_and(who ${who}) FROM t`,
      `SELECT count(*) = 8 AND bool_and(who ${who}) FROM m`,
      `SELECT act(1) ${who}`,
    ];
    const user = await bed.backup.role('CREATEDB CREATEROLE');
    for (const engine of [bed.engine(), bed.engine({ user, password: 'pw' })]) {
      const found = await bed.rehearse({}, queries, engine);
      expect(found.tables).toEqual([{ schema: 'public', name: 't', rows: 8 }]);
      expect([found.notCovered, found.warnings]).toEqual([[], []]);
    }
    const limit = `SELECT rolconnlimit AS v FROM pg_roles WHERE rolname = '${bed.source.app}'`;
    expect(await bed.backup.admin.query(limit)).toEqual([{ v: -1 }]);
    expect(await bed.leftovers()).toEqual([]);
  });

  describe('of what only a superuser may create', () => {
    let bed: RehearsalBed;
    beforeAll(async () => {
      bed = await RehearsalBed.create(server, 2, (source) =>
        source.sql(`CREATE FUNCTION internal(int) RETURNS int LANGUAGE internal IMMUTABLE AS 'int4abs';
          CREATE TABLE "needs it" (i int CHECK (internal(i) > 0), id serial);
          INSERT INTO "needs it" (i) VALUES (1), (2);
          CREATE VIEW needs_it AS SELECT internal(i) FROM "needs it";
          CREATE TABLE plain (i int); INSERT INTO plain VALUES (3), (4), (5);
          CREATE INDEX ON plain (internal(i));
          CREATE MATERIALIZED VIEW secrets AS SELECT count(rolpassword) FROM pg_authid;
          CREATE OPERATOR FAMILY family USING btree;
          CREATE SCHEMA kept;
          CREATE EXTENSION pg_trgm SCHEMA kept;
          CREATE TABLE kept.words (w text); CREATE INDEX ON kept.words USING gin (w kept.gin_trgm_ops);
          CREATE EXTENSION postgres_fdw;
          CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;
          CREATE USER MAPPING FOR postgres SERVER elsewhere OPTIONS (password 'x');
          CREATE FOREIGN TABLE far (i int) SERVER elsewhere;
          CREATE FUNCTION quiet() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
          CREATE EVENT TRIGGER quiet ON ddl_command_end EXECUTE FUNCTION quiet();
          CREATE PUBLICATION everything FOR ALL TABLES`),
      );
    });
    afterAll(() => bed?.[Symbol.asyncDispose]());

    test('is told, with what needs it; the rest is compared', async () => {
      const { manifest } = bed;
      const found = await bed.rehearse({}, ['SELECT count(*) = 3 FROM plain']);
      expect(found.tables).toEqual(manifest.tables.filter(({ name }) => name !== 'needs it'));
      const [told = '', ...others] = found.notCovered;
      expect([others, found.warnings]).toEqual([[], []]);
      const [refused, dependents] = told.split('; nor what needs that: ');
      expect(refused).toMatch(/^not rehearsed, because only a superuser may create it: /);
      for (const name of [
        'function public.internal(integer)',
        'operator family public.family',
        'server elsewhere',
        'materialized view data public.secrets',
      ]) {
        expect(refused).toContain(name);
      }
      for (const name of [
        'table public.needs it',
        'view public.needs_it',
        'foreign table public.far',
      ]) {
        expect(dependents).toContain(name);
      }
      const more = manifest.tables.map((table) =>
        table.name === 'plain' ? { ...table, rows: table.rows + 1 } : table,
      );
      const error = await failureOf(bed.rehearse({ tables: more }));
      expect(verdictOf(error), error.code).toBe('failed');
      expect(await bed.leftovers()).toEqual([]);
    });

    // The newest stands for all.
    if (server !== servers.at(-1)) return;
    test('is not held against a backup that is asked for it', async () => {
      for (const table of ['pg_authid', 'needs_it']) {
        const query = `SELECT count(*) > 0 FROM ${table}`;
        const error = await failureOf(bed.rehearse({}, [query]));
        expect(error.code).toBe('verify/query-impossible');
        expect(verdictOf(error)).toBe('inconclusive');
      }
      expect(await bed.leftovers()).toEqual([]);
    });
  });

  if (server !== servers.at(-1)) return;
  test('rows that only a superuser may write are not held against a backup', async () => {
    await using bed = await RehearsalBed.create(server, 1, (source) =>
      source.sql(`CREATE FUNCTION may(i int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
          'BEGIN PERFORM 1 FROM pg_authid; RETURN true; END';
        CREATE TABLE t (i int CHECK (may(i))); INSERT INTO t VALUES (1)`),
    );
    const error = await failureOf(bed.rehearse());
    expect(error.code).toBe('verify/not-rehearsable');
    expect(error.message).toContain('permission denied');
    expect(verdictOf(error)).toBe('inconclusive');
    expect(await bed.leftovers()).toEqual([]);
  });
});
