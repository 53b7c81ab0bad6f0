import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import { servers } from '../support/testbed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

/**
 * To a reader of Latin-1 the string goes on to the quote in the comment; the server, which has been
 * told of Shift-JIS meanwhile, sees a letter of two bytes and the string's end, and runs the rest.
 */
const SMUGGLED = (sql: string) => `SET client_encoding = 'LATIN1';
SELECT pg_catalog.set_config('client_encoding', 'SJIS', false);
SELECT E'\x83\x5c'; ${sql} --';
`;

/** Everything that might lock the database's own row, and nothing that stops where it is refused. */
const prepare = (gid: string) =>
  `BEGIN; CREATE TABLE public.p (i int); ALTER SCHEMA public RENAME TO hidden; ${attempts('d', HELD)}
   PREPARE TRANSACTION $a$${gid}$a$;`.replaceAll('\n', ' ');

const attempts = (tag: string, statements: readonly string[]) => {
  const each = statements.map(
    (sql) => `BEGIN EXECUTE format($f$${sql}$f$, current_database(), current_user);
      EXCEPTION WHEN insufficient_privilege THEN NULL; END;`,
  );
  return `DO $${tag}$ BEGIN ${each.join(' ')} END $${tag}$;`;
};

const HELD = [
  'ALTER DATABASE %1$I CONNECTION LIMIT 3',
  'ALTER DATABASE %1$I SET work_mem = $n$1MB$n$',
  'ALTER ROLE %2$I SET work_mem = $n$1MB$n$',
  'ALTER ROLE %2$I IN DATABASE %1$I SET work_mem = $n$1MB$n$',
  'COMMENT ON DATABASE %1$I IS $n$mine$n$',
];

/** What the owner of a database may do to keep others out, and itself from being dropped. */
const SHUT = attempts('s', [
  'ALTER DATABASE %1$I SET role = %2$L',
  'ALTER DATABASE %1$I CONNECTION LIMIT 0',
  'ALTER DATABASE %1$I IS_TEMPLATE true',
  'REVOKE ALL ON DATABASE %1$I FROM %2$I',
  'REVOKE ALL ON DATABASE %1$I FROM PUBLIC',
]);

describe.each(servers)('a file that prepares a transaction, PostgreSQL $major', (server) => {
  let bed: RestoreBed;
  let isPossible: boolean;
  beforeAll(async () => {
    bed = await RestoreBed.create(server);
    await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB CREATEROLE`);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    await bed.sql(`ALTER TABLE t OWNER TO ${bed.owner}`);
    const most = await bed.value(`SELECT current_setting('max_prepared_transactions')`);
    isPossible = most !== '0';
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  async function script(...parts: readonly string[]): Promise<UnpackedDrop> {
    const table = 'CREATE TABLE public.t (i integer);\nINSERT INTO public.t VALUES (7);\n';
    const head = '--\n-- PostgreSQL database dump\n--\n\n';
    const end = '\n--\n-- PostgreSQL database dump complete\n--\n';
    const path = join(bed.folder, `script-${randomBytes(4).toString('hex')}.sql`);
    await writeFile(path, Buffer.from([head, table, ...parts, end].join(''), 'latin1'));
    return bed.drop('postgres-plain', path);
  }

  const asOwner = () => ({
    kind: 'postgres' as const,
    connection: bed.connection({ user: bed.owner, password: 'pw' }),
    maintenanceDatabase: 'postgres',
  });
  const gids = async () => {
    const rows = await bed.admin.query<{ gid: string }>(
      'SELECT gid FROM pg_prepared_xacts WHERE gid LIKE $1',
      [`${bed.id}%`],
    );
    return rows.map(({ gid }) => gid);
  };

  test.each([
    ['a superuser, which it would shut out', 'superuser'],
    ['a role that is none, which it would shut out', 'owner'],
  ])('is refused before the stop, and staging goes: control is %s', async (_who, as) => {
    if (!isPossible) return;
    const engine = bed.engine(as === 'owner' ? { database: asOwner() } : {});
    // Two of them, and a name that is no name.
    const first = prepare(`${bed.id} it's $1 "one"`);
    const second = `BEGIN; PREPARE TRANSACTION $a$${bed.id} two$a$;`;
    const drop = await script(SHUT, '\n', SMUGGLED(`${first} ${second}`));
    await expect(bed.restore(engine, drop)).rejects.toMatchObject({
      code: 'drop/prepared-transaction',
    });
    expect(await gids()).toEqual([]);
    expect(await bed.leftovers()).toEqual([]);
    expect(await bed.value('SELECT i FROM public.t')).toBe('1');
  });

  test('one that a dead daemon has left is swept by the next one', async () => {
    if (!isPossible) return;
    const engine = bed.engine();
    const drop = await script(SMUGGLED(prepare(`${bed.id} left`)));
    const context = bed.context();
    const inspection = await engine.inspect(drop, context);
    const planned = await engine.plan(inspection, { kind: 'live' }, context);
    await expect(engine.stage(planned, drop, inspection, context)).rejects.toThrow(/prepared/);
    expect(await gids()).toEqual([`${bed.id} left`]);
    expect(await bed.leftovers()).toHaveLength(2);
    expect(await bed.engine().sweep([], context)).toHaveLength(2);
    expect(await gids()).toEqual([]);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('one that appears in the check is found there, before the stop', async () => {
    if (!isPossible) return;
    const engine = bed.engine();
    const drop = await script();
    const context = bed.context();
    const inspection = await engine.inspect(drop, context);
    const planned = await engine.plan(inspection, { kind: 'live' }, context);
    const staged = await engine.stage(planned, drop, inspection, context);
    // As a function could do that has a connection of its own.
    await using session = await bed.open(String(staged['stagingName']));
    for (const sql of [
      'BEGIN',
      'CREATE TABLE public.q ()',
      `PREPARE TRANSACTION '${bed.id} late'`,
    ]) {
      await session.query(sql);
    }
    await expect(engine.check(staged, inspection, context)).rejects.toMatchObject({
      code: 'drop/prepared-transaction',
    });
    await engine.discard(staged, context);
    expect(await gids()).toEqual([]);
    expect(await bed.leftovers()).toEqual([]);
  });
});
