import { describe, expect, it } from 'vitest';
import { ScriptInspector } from '../../../src/core/engines/postgres/script/inspection.ts';
import { dump, HEADER, TRAILER } from './pieces.ts';

function inspect(script: string | Buffer, chunk = 1000, longestStatement = 100_000) {
  const inspector = new ScriptInspector({ serverMajor: 18, longestStatement });
  const bytes = Buffer.from(script as string);
  for (let at = 0; at < bytes.length; at += chunk) {
    inspector.push(Buffer.from(bytes.subarray(at, at + chunk)));
  }
  return inspector.end();
}

const code = (script: string | Buffer, chunk?: number) => {
  try {
    inspect(script, chunk);
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'accepted';
};

describe('inspection', () => {
  it('finds everything that a restore must know', () => {
    const summary = inspect(
      dump(`CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA ext;
CREATE SCHEMA ext;
ALTER SCHEMA ext OWNER TO "Owner 1";
CREATE SCHEMA old AUTHORIZATION authorized;
SET default_tablespace = fast;
SET default_tablespace = '';
CREATE TABLE public.a (x integer DEFAULT ':;');
CREATE UNLOGGED TABLE IF NOT EXISTS "S s"."b""c" (y text);
CREATE FOREIGN TABLE public.f (z text) SERVER remote;
CREATE TEMPORARY TABLE gone ();
CREATE FUNCTION public.p(a text) RETURNS text LANGUAGE plpython3u AS $$language 'c'$$;
CREATE FUNCTION public.q() RETURNS text AS 'lib', 'q' LANGUAGE 'c';
CREATE FUNCTION public.r() RETURNS text LANGUAGE plpgsql AS $$ begin end $$;
CREATE OR REPLACE PROCEDURAL LANGUAGE plperlu;
CREATE SERVER remote FOREIGN DATA WRAPPER w;
CREATE FOREIGN DATA WRAPPER w;
CREATE USER MAPPING FOR mapped SERVER remote OPTIONS (password 'x');
CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION public.r();
CREATE PUBLICATION pub FOR ALL TABLES;
CREATE SUBSCRIPTION sub CONNECTION 'x' PUBLICATION p;
SELECT pg_catalog.lo_create('1');
SELECT pg_catalog.lo_create('2');
COPY public.a (x) FROM stdin;
1
2
\\.
COPY public.a (x) FROM stdin;
3
\\.
INSERT INTO "S s"."b""c" (y) VALUES ('1'), ('(2)');
INSERT INTO "S s"."b""c" VALUES ('3');
INSERT INTO public.d DEFAULT VALUES;
INSERT INTO public.d OVERRIDING SYSTEM VALUE VALUES (1), (2);
CREATE POLICY p ON public.a AS RESTRICTIVE FOR SELECT TO policy_role, PUBLIC USING ((x > 0));
GRANT SELECT ON TABLE public.a TO grantee, PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE deflt GRANT SELECT ON TABLES TO deftee;
`),
    );
    expect(summary).toMatchObject({
      encoding: 'UTF8',
      databaseVersion: '18.6',
      dumpVersion: '18.6',
      tables: [
        { schema: 'public', name: 'a', kind: 'table', created: true, rows: 3 },
        { schema: 'S s', name: 'b"c', kind: 'table', created: true, rows: 3 },
        { schema: 'public', name: 'f', kind: 'foreign table', created: true, rows: 0 },
        { schema: 'public', name: 'd', kind: 'table', created: false, rows: 3 },
      ],
      roles: ['Owner 1', 'authorized', 'deflt', 'deftee', 'grantee', 'mapped', 'policy_role'],
      extensions: [{ name: 'hstore', schema: 'ext' }],
      schemas: ['ext', 'old'],
      tablespaces: ['fast'],
      languages: ['c', 'plperlu', 'plpgsql', 'plpython3u'],
      untrustedLanguages: ['c', 'plperlu', 'plpython3u'],
      eventTriggers: ['et'],
      publications: ['pub'],
      subscriptions: ['sub'],
      foreignServers: ['remote'],
      foreignDataWrappers: ['w'],
      largeObjects: 2,
      dataOnly: false,
      schemaOnly: false,
      createsDatabase: false,
      drops: false,
      warnings: [],
    });
  });

  it('counts the rows of an INSERT that comes in parts', () => {
    const rows = Array.from({ length: 500 }, (_, i) => `(${i}, 'x')`).join(',');
    const summary = inspect(dump(`INSERT INTO public.t (a, b) VALUES ${rows};\n`), 100, 1000);
    expect(summary.tables).toMatchObject([{ name: 't', rows: 500 }]);
  });

  it('tells data-only and schema-only dumps', () => {
    expect(inspect(dump('CREATE TABLE s.t ();\n'))).toMatchObject({
      schemaOnly: true,
      dataOnly: false,
    });
    expect(inspect(dump('COPY s.t FROM stdin;\n\\.\n'))).toMatchObject({
      schemaOnly: false,
      dataOnly: true,
    });
    const empty =
      '-- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: o\nCREATE TABLE s.t ();\n';
    expect(inspect(dump(empty))).toMatchObject({ schemaOnly: false, dataOnly: false });
    expect(inspect(dump(''))).toMatchObject({ schemaOnly: false, dataOnly: false, tables: [] });
  });

  it('tells --create and --clean', () => {
    const script = 'DROP TABLE s.t;\nCREATE DATABASE d;\n\\connect d\nCREATE TABLE s.t ();\n';
    expect(inspect(dump(script))).toMatchObject({ createsDatabase: true, drops: true });
  });

  it('puts unqualified names of old dumps where the search_path says', () => {
    const script =
      'SET search_path = old, pg_catalog;\nCREATE TABLE t ();\nALTER TABLE t OWNER TO o;\n';
    expect(inspect(dump(script))).toMatchObject({
      tables: [{ schema: 'old', name: 't' }],
      roles: ['o'],
    });
  });

  it('warns of what follows the end, and not of another dump', () => {
    expect(inspect(`${dump('')}SELECT 1;\n`).warnings).toEqual([
      'line 17: something follows the end of the dump',
    ]);
    expect(inspect(dump('') + dump('SELECT 1;\n')).warnings).toEqual([]);
  });

  it.each([
    ['nothing', '', 'drop/empty'],
    ['no trailer', `${HEADER}CREATE TABLE a ();\n`, 'drop/truncated'],
    ['a trailer within a string', `${HEADER}SELECT '${TRAILER}';\n`, 'drop/truncated'],
    [
      'a trailer within COPY data',
      `${HEADER}COPY t FROM stdin;\n1\n${TRAILER}\\.\n`,
      'drop/truncated',
    ],
    ['no header', 'CREATE TABLE a ();\n', 'drop/not-a-dump'],
    ['text', 'hello; world;\n', 'drop/not-a-dump'],
    [
      'pg_dumpall',
      '--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE x;\n',
      'drop/unsupported-dumpall',
    ],
    [
      'pg_dumpall later',
      `${HEADER}--\n-- PostgreSQL database cluster dump\n--\n`,
      'drop/unsupported-dumpall',
    ],
    ['MySQL', '-- MySQL dump 10.13  Distrib 8.0\n--\n', 'drop/wrong-engine'],
    [
      'MariaDB',
      '/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n',
      'drop/wrong-engine',
    ],
    ['phpMyAdmin', '-- phpMyAdmin SQL Dump\n-- version 5\n', 'drop/wrong-engine'],
    ['SQLite', 'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n', 'drop/wrong-engine'],
    ['SQL Server', 'USE [master]\r\nGO\r\n', 'drop/wrong-engine'],
    ['a custom archive', 'PGDMP\x01\x0f', 'drop/wrong-format'],
    ['UTF-16', Buffer.from(`\ufeff${dump('')}`, 'utf16le'), 'drop/unsupported-encoding'],
    ['UTF-16 without a mark', Buffer.from(dump(''), 'utf16le'), 'drop/unsupported-encoding'],
    ['SJIS', dump("SET client_encoding = 'SJIS';\n"), 'drop/unsupported-encoding'],
    ['a zero byte', dump('SELECT 1;\0\n'), 'drop/not-text'],
    [
      'damaged UTF-8',
      Buffer.concat([
        Buffer.from(HEADER),
        Buffer.from([0x2d, 0x2d, 0xc3, 0x28, 0x0a]),
        Buffer.from(TRAILER),
      ]),
      'drop/invalid-encoding',
    ],
    ['a command of psql', dump('\\! id\n'), 'drop/meta-command'],
    ['a transaction', dump('COMMIT;\n'), 'drop/transaction-control'],
  ])('%s is refused', (_name, script, wanted) => {
    expect(code(script)).toBe(wanted);
  });

  it('takes characters that are cut by chunks, and other encodings', () => {
    const script = dump("COMMENT ON TABLE s.t IS 'é€😀é€😀';\n");
    for (const size of [1, 2, 3, 4, 5, 7]) {
      const bytes = Buffer.from(script);
      const inspector = new ScriptInspector({ serverMajor: 18 });
      // The first chunk must show what kind of file it is.
      inspector.push(bytes.subarray(0, 200));
      for (let at = 200; at < bytes.length; at += size)
        inspector.push(Buffer.from(bytes.subarray(at, at + size)));
      expect(inspector.end().encoding).toBe('UTF8');
    }
    const latin = Buffer.from(
      dump('SET client_encoding = \'LATIN1\';\nCREATE TABLE s."\xe9" ();\n'),
      'latin1',
    );
    expect(inspect(latin).tables).toMatchObject([{ name: 'é' }]);
  });
});
