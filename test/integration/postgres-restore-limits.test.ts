import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import { PostgresInPlaceEngine } from '../../src/core/engines/postgres/in-place/engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { PrivatePostgres } from '../support/private-postgres.ts';
import { canMount, SmallDisk } from '../support/small-disk.ts';
import { testbed } from '../support/testbed.ts';
import { ownBackup } from './postgres-own-backup.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const like = testbed.postgres15;
const hasServer = like !== undefined && existsSync(join(like.binDir, 'initdb'));

/** A script of pg_dump's as far as anybody looks; the first table is the live one's. */
function script(...statements: string[]): string {
  const head = ['--', '-- PostgreSQL database dump', '--', ''];
  const table = ['CREATE TABLE public.t (i integer);', 'INSERT INTO public.t VALUES (7);'];
  const end = ['--', '-- PostgreSQL database dump complete', '--', ''];
  return [...head, ...table, ...statements, ...end].join('\n');
}

describe.runIf(hasServer)('a server with few locks', () => {
  let postgres: PrivatePostgres;
  let bed: RestoreBed;
  beforeAll(async () => {
    if (!like) return;
    const settings = { max_locks_per_transaction: '10', max_connections: '20' };
    postgres = await PrivatePostgres.create(like, { settings });
    bed = await RestoreBed.create(postgres.server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
    await postgres[Symbol.asyncDispose]();
  });

  test('more tables than it can lock are restored: some at a time change their owner', async () => {
    const tables = Array.from(
      { length: 2000 },
      (_, n) => `CREATE TABLE public.t_${n} (i integer);`,
    );
    const { check } = await bed.restore(bed.engine(), await bed.script(script(...tables)));
    expect(check.tables).toHaveLength(2001);
    expect(await bed.value('SELECT i FROM public.t')).toBe('7');
    const owners = `SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ',') FROM pg_class
      WHERE relnamespace = 'public'::regnamespace`;
    expect(await bed.value(owners)).toBe(bed.owner);
    // pg_dump, which locks all of them, can't do that.
    await expect(ownBackup(bed, bed.live)).rejects.toMatchObject({
      code: 'database/out-of-locks',
      hint: expect.stringContaining('raise max_locks_per_transaction'),
    });
  });

  test('a file that locks more than there are is told which setting is too small', async () => {
    const before = await bed.value('SELECT i FROM public.t');
    const many = `DO $$ BEGIN FOR n IN 1..9000 LOOP
      EXECUTE format('CREATE TABLE public.x_%s (i integer)', n); END LOOP; END $$;`;
    await expect(bed.restore(bed.engine(), await bed.script(script(many)))).rejects.toMatchObject({
      code: 'database/out-of-locks',
      hint: expect.stringContaining('max_locks_per_transaction'),
    });
    expect(await bed.leftovers()).toEqual([]);
    expect(await bed.value('SELECT i FROM public.t')).toBe(before);
  });

  test('in place, more objects than it can lock are refused before the stop, by an undo too', async () => {
    const database = await bed.database(`test_in_place_${bed.id}`);
    /** Some at a time: each statement keeps its locks to its end. */
    const forEach = async (from: number, to: number, sql: string) => {
      for (let at = from; at <= to; at += 20) {
        const many = `DO $$ BEGIN FOR n IN ${at}..${Math.min(to, at + 19)} LOOP
          EXECUTE format($q$${sql}$q$, n); END LOOP; END $$`;
        await bed.sql(many, database);
      }
    };
    // Many objects that a DROP locks and pg_dump doesn't.
    const columns = Array.from(
      { length: 12 },
      (_, n) => `c${n} integer DEFAULT 0 CHECK (c${n} >= 0)`,
    );
    const table = `CREATE TABLE public.k_%s (i integer PRIMARY KEY, ${columns.join(', ')})`;
    const count = () =>
      bed.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'k%'", database);
    const connection = bed.connection({ database });
    const safetyFolder = join(bed.folder, 'previous');
    await mkdir(safetyFolder);
    const engine = new PostgresInPlaceEngine({
      database: { kind: 'postgres', connection, maintenanceDatabase: 'postgres' },
      inPlace: true,
      safetyFolder,
      log: silentLogger(),
      clock: systemClock,
    });
    const context = bed.context();
    const restore = async (drop: UnpackedDrop) => {
      const inspection = await engine.inspect(drop, context);
      const planned = await engine.plan(inspection, { kind: 'live' }, context);
      const state = await engine.stage(planned, drop, inspection, context);
      await engine.check(state, inspection, context);
      return engine.swap(state, context);
    };
    await forEach(1, 3, table);
    const few = await ownBackup(bed, database);
    await forEach(4, 5, table);
    const { previous } = await restore(few);
    if (!previous) throw new Error('nothing was kept');
    expect(await count()).toBe('3');

    await forEach(4, 30, table);
    const refused = (code: string) => ({
      code,
      hint: expect.stringMatching(/set max_locks_per_transaction to \d+ .* is 10;/),
    });
    await expect(engine.planUndo(previous, context)).rejects.toMatchObject(
      refused('request/not-possible-here'),
    );
    await expect(engine.inspect(few, context)).rejects.toMatchObject(
      refused('drop/not-possible-here'),
    );
    expect(await count()).toBe('30');
  });

  test('views on views, a thousand deep', async () => {
    const views = Array.from(
      { length: 1000 },
      (_, n) => `CREATE VIEW public.v_${n + 1} AS SELECT i FROM public.v_${n};`,
    );
    const first = 'CREATE VIEW public.v_0 AS SELECT i FROM public.t;';
    await bed.restore(bed.engine(), await bed.script(script(first, ...views)), {
      kind: 'side',
      name: `test_side_${bed.id}`,
    });
    const count = `SELECT count(*) FROM pg_views WHERE schemaname = 'public'`;
    expect(await bed.value(count, `test_side_${bed.id}`)).toBe('1001');
  });
});

describe.runIf(hasServer && canMount)('the volume of a server', () => {
  test('really full while staging: told as that, nothing stays, the live one works', async () => {
    if (!like) return;
    using disk = new SmallDisk(200);
    await using postgres = await PrivatePostgres.create(like, { folder: disk.path });
    // Goes with the server, which ends the sessions that it has.
    const bed = await RestoreBed.create(postgres.server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const much = `CREATE TABLE public.much AS SELECT repeat(md5(n::text), 50) FROM generate_series(1, 200000) n;`;
    const drop = await bed.script(script(much));
    const engine = bed.engine({ maxStagingBytes: 2 ** 40 });
    const context = bed.context();
    const inspection = await engine.inspect(drop, context);
    const planned = await engine.plan(inspection, { kind: 'live' }, context);
    await expect(engine.stage(planned, drop, inspection, context)).rejects.toMatchObject({
      code: 'disk/full',
      retryable: false,
      message: expect.stringContaining('No space left'),
    });
    // Without space for its log the server is down, until somebody makes room.
    disk.resize(600);
    await postgres.restart();
    await engine.discard(bed.saved.at(-1) ?? planned, context);
    const left = `SELECT count(*) FROM pg_database FULL JOIN pg_roles ON false
      WHERE datname LIKE 'dropback\\_%' OR rolname LIKE 'dropback\\_%'`;
    expect(await bed.value(left)).toBe('0');
    await bed.sql('INSERT INTO t VALUES (2)');
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
    await bed.restore(engine, await bed.script(script()));
    expect(await bed.value('SELECT i FROM public.t')).toBe('7');
    await rm(bed.folder, { recursive: true, force: true });
  });
});
