import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ownershipSql } from '../../../src/core/engines/postgres/script/ownership-sql.ts';
import {
  LINES_BEFORE,
  type RewriteOptions,
  rewriteScript,
} from '../../../src/core/engines/postgres/script/rewrite.ts';
import { chunks, dump, never } from './pieces.ts';

async function rewrite(script: string, options: Partial<RewriteOptions> = {}, size = 7) {
  const written: Buffer[] = [];
  const output = new Writable({
    highWaterMark: 16,
    write: (chunk: Buffer, _encoding, done) => {
      written.push(Buffer.from(chunk));
      setImmediate(done);
    },
  });
  const all = { serverMajor: 18, signal: never, ...options };
  const result = await rewriteScript(chunks(script, size), output, all);
  const text = Buffer.concat(written).toString();
  const lines = text.split('\n');
  const body = lines.slice(LINES_BEFORE, -2).join('\n').replace(/\n+/g, '\n').trim();
  return { result, text, lines, body };
}

const rewritten = async (body: string, options?: Partial<RewriteOptions>) =>
  (await rewrite(body, options)).body;

describe('rewriteScript', () => {
  it('runs in restricted mode under a key of its own, and keeps line numbers', async () => {
    const { lines, text } = await rewrite(
      dump('\\restrict abc\n\nCREATE TABLE s.t (\n a int\n);\n\\unrestrict abc\n'),
    );
    const key = /^\\restrict ([0-9a-f]{64})$/.exec(lines[0] ?? '')?.[1];
    expect(key).toBeDefined();
    expect(lines[1]).toBe('SET standard_conforming_strings = on;');
    expect(text.trimEnd().endsWith(`\\unrestrict ${key}`)).toBe(true);
    expect(text.match(/\\/g)).toHaveLength(2);
    const original = dump('\\restrict abc\n\nCREATE TABLE s.t (\n a int\n);\n').split('\n');
    expect(lines.indexOf('CREATE TABLE s.t (')).toBe(
      original.indexOf('CREATE TABLE s.t (') + LINES_BEFORE,
    );
  });

  it.each([
    ['owners', 'ALTER TABLE s.t OWNER TO app;'],
    ['grants', 'GRANT SELECT ON TABLE s.t TO app;'],
    ['odd grants', 'GRANT app TO other;'],
    ['default privileges', 'ALTER DEFAULT PRIVILEGES FOR ROLE o GRANT ALL ON TABLES TO p;'],
    [
      'role changes',
      "SET SESSION AUTHORIZATION 'x';\nRESET SESSION AUTHORIZATION;\nSET ROLE x;\nRESET ROLE;",
    ],
    [
      'more role changes',
      'SET SESSION ROLE x;\nSET LOCAL SESSION AUTHORIZATION DEFAULT;\nSET ROLE NONE;',
    ],
    [
      'extensions',
      "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\nCOMMENT ON EXTENSION hstore IS 'x';",
    ],
    ['existing schemas', 'CREATE SCHEMA public;\nCREATE SCHEMA IF NOT EXISTS "public";'],
    [
      'the database',
      "CREATE DATABASE d;\nALTER DATABASE d SET x = '1';\nALTER DATABASE d OWNER TO x;\nCOMMENT ON DATABASE d IS 'x';\nSECURITY LABEL FOR p ON DATABASE d IS 'x';\nDROP DATABASE d;\nGRANT ALL ON DATABASE d TO x;",
    ],
    [
      'event triggers',
      'CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION s.f();\nALTER EVENT TRIGGER e OWNER TO x;\nALTER EVENT TRIGGER e DISABLE;',
    ],
    ['publications', 'CREATE PUBLICATION p;\nALTER PUBLICATION p ADD TABLE ONLY s.t;'],
    ['subscriptions', "CREATE SUBSCRIPTION p CONNECTION 'x' PUBLICATION p;"],
    ['tablespaces', 'SET default_tablespace = fast;'],
    ['comments', "-- it's\n/* a; */"],
  ])('leaves out %s', async (_name, sql) => {
    expect(await rewritten(`CREATE TABLE a ();\n${sql}\nCREATE TABLE b ();\n`)).toBe(
      'CREATE TABLE a ();\nCREATE TABLE b ();',
    );
  });

  it.each([
    'ALTER TABLE s.t ADD COLUMN a int, OWNER TO app;',
    'CREATE SCHEMA other;',
    "SET search_path = '';",
    'SET SESSION statement_timeout = 0;',
    'SET default_with_oids = false;',
    "SELECT pg_catalog.setval('s.q', 1, true);",
    'ALTER TABLE ONLY s.t ADD CONSTRAINT c PRIMARY KEY (a);',
    'DROP TABLE s.t;',
    "COMMENT ON TABLE s.t IS 'OWNER TO app;';",
  ])('keeps %s', async (sql) => {
    expect(await rewritten(`CREATE TABLE a ();\n${sql}\n`)).toBe(`CREATE TABLE a ();\n${sql}`);
  });

  it('can keep publications', async () => {
    const sql = 'CREATE PUBLICATION p;';
    expect(await rewritten(sql, { leaveOut: [] })).toBe(sql);
  });

  it('leaves out settings that the server is too old for', async () => {
    const sql = 'SET transaction_timeout = 0;\nSET lock_timeout = 0;';
    expect(await rewritten(sql, { serverMajor: 16 })).toBe('SET lock_timeout = 0;');
    expect(await rewritten(sql, { serverMajor: 17 })).toBe(sql);
  });

  it('leaves out the DROPs of --clean, and only those', async () => {
    const script = `ALTER TABLE ONLY s.t DROP CONSTRAINT c;
CREATE OR REPLACE VIEW s.v AS SELECT NULL::integer AS a;
SELECT pg_catalog.lo_unlink('1');
DROP VIEW IF EXISTS s.v;
--
-- Name: v; Type: VIEW; Schema: s; Owner: app
--
CREATE OR REPLACE VIEW s.v AS SELECT 1 AS a;
DROP TABLE later;
`;
    expect(await rewritten(script)).toBe(
      'CREATE OR REPLACE VIEW s.v AS SELECT 1 AS a;\nDROP TABLE later;',
    );
  });

  it('accepts the parts that --create adds', async () => {
    const script =
      '\\restrict a\nCREATE DATABASE "my db";\n\\unrestrict a\n\\connect -reuse-previous=on "dbname=\'my db\'"\n\\restrict a\nCREATE TABLE a ();\n\\unrestrict a\n';
    expect(await rewritten(script)).toBe('CREATE TABLE a ();');
  });

  it('sets colons apart that psql would take for variables', async () => {
    expect(await rewritten("CREATE VIEW v AS SELECT a[1:n], :USER, :'x', '1'::int, ':y';")).toBe(
      "CREATE VIEW v AS SELECT a[1: n], : USER, : 'x', '1'::int, ':y';",
    );
  });

  it('turns CREATE SCHEMA AUTHORIZATION into a schema and an owner', async () => {
    const { body, result } = await rewrite('CREATE SCHEMA "S" AUTHORIZATION app;\n');
    expect(body).toBe('CREATE SCHEMA "S";');
    expect(result.ownership.map((one) => ownershipSql(one).sql)).toEqual([
      'ALTER SCHEMA "S" OWNER TO "app";',
    ]);
  });

  it('passes COPY data through, whatever they look like', async () => {
    const data = 'ALTER TABLE s.t OWNER TO app;\n\\restrict x\n\\\\.\nBEGIN;\n:USER\n';
    const { text, result } = await rewrite(`COPY s.t FROM stdin;\n${data}\\.\n`);
    expect(text).toContain(`COPY s.t FROM stdin;\n${data}\\.\n`);
    expect(result).toMatchObject({ copyBlocks: 1, copyRows: 5, ownership: [] });
  });

  it('lets large objects have their transactions, and nothing else', async () => {
    const blob =
      "BEGIN;\nSELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00');\nSELECT pg_catalog.lo_close(0);\nCOMMIT;";
    expect(await rewritten(`${blob}\n`)).toBe(blob.replace('BEGIN;\n', 'BEGIN;'));
    for (const script of [
      'BEGIN;\nCREATE TABLE a ();\n',
      'BEGIN;\nINSERT INTO t VALUES (1);\n',
      'COMMIT;\n',
      'ROLLBACK;\n',
      'START TRANSACTION;\n',
      'BEGIN;\nBEGIN;\n',
      "PREPARE TRANSACTION 'x';\n",
      'END;\n',
      'SAVEPOINT a;\n',
      'BEGIN;\nCOPY t FROM stdin;\n\\.\n',
      "BEGIN;\nSELECT pg_catalog.lo_open('1', 1);\nDROP TABLE x;\n",
      'ABORT;\n',
      'COMMIT AND CHAIN;\n',
      'BEGIN;\nSELECT 1;\n',
    ]) {
      await expect(rewrite(script)).rejects.toMatchObject({ code: 'drop/transaction-control' });
    }
  });

  it.each([
    '\\! touch /tmp/x\n',
    '\\connect other\n',
    '\\restrict a\n\\restrict a\n',
    '\\restrict a\n\\unrestrict b\n',
    '\\unrestrict a\n',
    '\\restrict `id`\n',
    'CREATE DATABASE d;\n\\connect `id`\n',
    'CREATE DATABASE d;\n\\connect d \\! id\n',
    '\\i /etc/passwd\n',
    "\\copy t from program 'id'\n",
    '\\echo :x\n',
    '\\.\n',
    'SELECT 1 \\gexec\n',
  ])('refuses %j, naming the line', async (script) => {
    const wrong = rewrite(`SELECT 1;\n${script}`);
    await expect(wrong).rejects.toMatchObject({ code: 'drop/meta-command' });
    await expect(wrong).rejects.toThrow(/line \d+ holds/);
  });

  it('gives owners and grants in order, with whoever granted', async () => {
    const { result } = await rewrite(
      'ALTER TABLE s.t OWNER TO app;\nSET SESSION AUTHORIZATION g;\nGRANT SELECT ON TABLE s.t TO x;\nRESET SESSION AUTHORIZATION;\nGRANT INSERT ON TABLE s.t TO x;\nGRANT a TO b;\n',
    );
    expect(result.ownership).toMatchObject([
      { kind: 'owner', role: 'app' },
      { kind: 'grant', grantor: 'g' },
      { kind: 'grant' },
    ]);
    expect(result.ownership[2]).not.toHaveProperty('grantor');
    expect(result.unparsed).toEqual([{ line: 6, text: 'GRANT a TO b;' }]);
    expect(result.leftOut).toEqual({ owner: 1, grant: 3, identity: 2 });
  });

  it('writes the same in whatever chunks it reads', async () => {
    const script = dump(
      'CREATE TABLE a (x int);\nCOPY a FROM stdin;\n1\n2\n\\.\nALTER TABLE public.a OWNER TO o;\n',
    );
    const plain = (await rewrite(script, {}, 10_000)).text.replace(/[0-9a-f]{64}/g, 'KEY');
    for (const size of [1, 2, 3, 50]) {
      expect((await rewrite(script, {}, size)).text.replace(/[0-9a-f]{64}/g, 'KEY')).toBe(plain);
    }
  });

  it('stops when it is asked to, and when nobody reads', async () => {
    const stop = new AbortController();
    const stuck = new Writable({ highWaterMark: 1, write: () => {} });
    const running = rewriteScript(chunks(dump('SELECT 1;\n')), stuck, {
      serverMajor: 18,
      signal: stop.signal,
    });
    stop.abort();
    await expect(running).rejects.toMatchObject({ code: 'run/aborted' });
    expect(stuck.destroyed).toBe(true);

    const broken = new Writable({
      highWaterMark: 1,
      write: (_chunk, _encoding, done) => done(new Error('EPIPE')),
    });
    const failing = rewriteScript(chunks(dump('SELECT 1;\n')), broken, {
      serverMajor: 18,
      signal: never,
    });
    await expect(failing).rejects.toThrow('EPIPE');
  });
});
