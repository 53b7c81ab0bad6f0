import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import type { PreviousDatabase, RestoreState, SwapResult } from '../../src/core/engines/engine.ts';
import { PostgresBackupEngine } from '../../src/core/engines/postgres/backup/engine.ts';
import { PostgresInPlaceEngine } from '../../src/core/engines/postgres/in-place/engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { servers, type TestServer } from '../support/testbed.ts';
import { CommitCutter } from './postgres-commit-cutter.ts';
import { ident, literal, never, RestoreBed } from './postgres-restore-bed.ts';

const run = promisify(execFile);

/** A live database whose owner may create neither databases nor roles, and the engine for it. */
class InPlaceBed implements AsyncDisposable {
  readonly bed: RestoreBed;
  readonly folder: string;
  #port: number | undefined;

  private constructor(bed: RestoreBed) {
    this.bed = bed;
    this.folder = join(bed.folder, 'previous');
  }

  static async create(server: TestServer): Promise<InPlaceBed> {
    const bed = await RestoreBed.create(server);
    const self = new InPlaceBed(bed);
    await mkdir(self.folder, { mode: 0o700 });
    return self;
  }

  /** From now on by way of this port on loopback. */
  through(port: number): void {
    this.#port = port;
  }

  engine(): PostgresInPlaceEngine {
    const connection = this.bed.connection({
      user: this.bed.owner,
      password: 'pw',
      ...(this.#port ? { host: '127.0.0.1', port: this.#port, sslMode: 'disable' as const } : {}),
    });
    return new PostgresInPlaceEngine({
      database: { kind: 'postgres', connection, maintenanceDatabase: 'postgres' },
      inPlace: true,
      safetyFolder: this.folder,
      log: silentLogger(),
      clock: systemClock,
    });
  }

  /** SQL as the owner of the database. */
  async sql(text: string): Promise<void> {
    await using session = await this.bed.open(this.bed.live, this.bed.owner);
    await session.query('SET search_path = public');
    await session.query(text);
  }

  async backup(): Promise<UnpackedDrop> {
    const { bed } = this;
    await using engine = new PostgresBackupEngine({
      database: { kind: 'postgres', connection: bed.connection(), maintenanceDatabase: 'postgres' },
      clock: systemClock,
      lockWaitMs: 5000,
    });
    const spool = join(bed.folder, `own-${randomBytes(4).toString('hex')}.dump.zst`);
    const request = {
      spool,
      compressionLevel: 3,
      excludeTableData: [],
      rowCounts: 'exact' as const,
      nice: 0,
      log: silentLogger(),
    };
    const dump = await engine.dump(request, never);
    await run('zstd', ['-q', '-d', spool, '-o', `${spool}.raw`]);
    const drop = await bed.drop('postgres-custom', `${spool}.raw`);
    return { ...drop, manifest: { ...dump, engine: 'postgres' } as unknown as Manifest };
  }

  /** Up to the point at which the containers would be stopped. */
  async prepared(drop: UnpackedDrop): Promise<RestoreState> {
    const engine = this.engine();
    const context = this.bed.context();
    const inspection = await engine.inspect(drop, context);
    const planned = await engine.plan(inspection, { kind: 'live' }, context);
    const state = await engine.stage(planned, drop, inspection, context);
    await engine.check(state, inspection, context);
    return state;
  }

  async restore(drop: UnpackedDrop): Promise<{ state: RestoreState; swap: SwapResult }> {
    const engine = this.engine();
    const state = await this.prepared(drop);
    try {
      const swap = await engine.swap(state, this.bed.context());
      await engine.finish(state, this.bed.context());
      return { state, swap };
    } catch (error) {
      await engine.discard(this.bed.saved.at(-1) ?? state, this.bed.context());
      throw error;
    }
  }

  async undo(previous: PreviousDatabase): Promise<SwapResult> {
    const engine = this.engine();
    const state = await engine.planUndo(previous, this.bed.context());
    const swap = await engine.swap(state, this.bed.context());
    await engine.finish(state, this.bed.context());
    return swap;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.bed[Symbol.asyncDispose]();
  }
}

describe.each(servers)('restoring in place into PostgreSQL $major', (server) => {
  test('brings all of a rich database back, and undo brings back what was there', {
    timeout: 180_000,
  }, async () => {
    await using place = await InPlaceBed.create(server);
    const { bed } = place;
    // One of its tables forces row security on its owner: nobody else could dump it.
    await bed.admin.query(`ALTER ROLE ${bed.owner} BYPASSRLS`);
    await bed.fill(bed.live);
    await bed.sql('DROP TABLE owned_by_app');
    const before = await bed.picture(bed.live);
    const drop = await place.backup();
    await place.sql(`DROP VIEW public.numbers; DELETE FROM sales."order" WHERE customer > 3000;
      DELETE FROM sales.customer WHERE id > 3000;
      CREATE TABLE public.added (i serial PRIMARY KEY, t text); INSERT INTO added (t) VALUES ('x');
      CREATE VIEW sales.on_top AS SELECT * FROM public.parent;
      ALTER TABLE sales.customer ADD COLUMN fresh int REFERENCES public.added;
      SELECT lo_unlink(700002); SELECT lo_from_bytea(700003, '\\x0102');
      GRANT CREATE ON SCHEMA public TO ${bed.app};
      ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ${bed.reader};
      ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO ${bed.app};`);
    const changed = await bed.picture(bed.live);
    const oid = await bed.value(`SELECT oid FROM pg_database WHERE datname = ${literal(bed.live)}`);

    const { swap } = await place.restore(drop);
    expect(await bed.picture(bed.live)).toEqual(before);

    expect(swap.previous).toMatchObject({ engine: 'postgres', bytes: expect.any(Number) });
    expect((await stat(swap.previous?.name ?? '')).mode & 0o777).toBe(0o600);
    expect(
      await bed.value(`SELECT oid FROM pg_database WHERE datname = ${literal(bed.live)}`),
    ).toBe(oid);

    const undone = await place.undo(swap.previous as PreviousDatabase);
    expect(await bed.picture(bed.live)).toEqual(changed);
    expect(await readdir(place.folder)).toEqual([`${undone.previous?.id}.dump`]);
    await place.undo(undone.previous as PreviousDatabase);
    expect(await bed.picture(bed.live)).toEqual(before);
  });

  test('extensions stay, with the schema that they are in', async () => {
    await using place = await InPlaceBed.create(server);
    const { bed } = place;
    await bed.sql('CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore');
    await bed.sql(
      `ALTER SCHEMA ext OWNER TO ${bed.owner}; COMMENT ON EXTENSION citext IS 'own words'`,
    );
    await place.sql("CREATE TABLE t (c ext.citext, h hstore); INSERT INTO t VALUES ('A', 'a=>b')");
    const before = await bed.picture(bed.live);
    const drop = await place.backup();
    await place.sql('DELETE FROM t');
    await place.restore(drop);
    expect(await bed.picture(bed.live)).toEqual(before);
  });

  test('a failure in the middle rolls all of it back', async () => {
    await using place = await InPlaceBed.create(server);
    const { bed } = place;
    await place.sql(`CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 10);
      SELECT lo_from_bytea(700001, '\\x01')`);
    const drop = await place.backup();
    await place.sql('INSERT INTO t VALUES (11); SELECT lo_unlink(700001)');
    const before = await bed.picture(bed.live);
    const tables = [{ schema: 'public', name: 't', rows: 12 }];
    const wrong = { ...drop, manifest: { ...drop.manifest, tables } as Manifest };
    await expect(place.restore(wrong)).rejects.toMatchObject({ code: 'restore/rows-differ' });
    expect(await bed.picture(bed.live)).toEqual(before);

    expect(await readdir(place.folder)).toEqual([]);
  });

  test('an archive that breaks off is refused, and one that changes afterwards changes nothing', async () => {
    await using place = await InPlaceBed.create(server);
    const { bed } = place;
    await place.sql(
      "CREATE TABLE t (t text); INSERT INTO t SELECT repeat('x', i) FROM generate_series(1, 900) i",
    );
    const drop = await place.backup();
    const state = await place.prepared(drop);
    const before = await bed.picture(bed.live);
    const bytes = await readFile(drop.path);
    await writeFile(drop.path, bytes.subarray(0, bytes.length - 3000));
    await expect(place.engine().swap(state, bed.context())).rejects.toThrow();
    expect(await place.engine().outcome(state, never)).toBe('not-swapped');
    expect(await bed.picture(bed.live)).toEqual(before);
    await expect(place.restore(drop)).rejects.toMatchObject({ code: 'drop/truncated' });
  });

  test('what would fail is refused beforehand: foreign files, objects of others, side databases', async () => {
    await using place = await InPlaceBed.create(server);
    const { bed } = place;
    await place.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const foreign = await bed.dump('postgres-custom', bed.live);
    const drop = await place.backup();
    await expect(place.restore(foreign)).rejects.toMatchObject({
      code: 'drop/in-place-foreign',
      hint: expect.stringContaining(`ALTER ROLE "${bed.owner}" CREATEDB CREATEROLE;`),
    });
    const engine = place.engine();
    const inspection = await engine.inspect(drop, bed.context());
    expect(inspection.warnings.join()).toContain('grows with the database');
    const side = { kind: 'side', name: 'another' } as const;
    await expect(engine.plan(inspection, side, bed.context())).rejects.toMatchObject({
      code: 'drop/in-place-side',
    });
    await bed.sql(`CREATE TABLE theirs (i int); ALTER TABLE theirs OWNER TO ${bed.app}`);
    await expect(place.restore(drop)).rejects.toMatchObject({
      code: 'drop/not-possible-here',
      message: expect.stringContaining('table public.theirs'),
      hint: expect.stringContaining(`GRANT ${ident(bed.app)} TO ${ident(bed.owner)}`),
    });
    const theirs = await place.backup();
    await bed.admin.query(`GRANT ${bed.app} TO ${bed.owner}`);
    await expect(place.restore(theirs)).rejects.toMatchObject({
      code: 'drop/not-possible-here',
      message: expect.stringContaining(`objects of ${bed.app}, which cannot be given to it`),
    });
    const checks = await engine.checks(never);
    expect(checks.filter(({ status }) => status === 'failed')).toEqual([]);
  });

  test('a changed safety dump is not loaded; what is kept can be dropped', async () => {
    await using place = await InPlaceBed.create(server);
    const { bed } = place;
    await place.sql('CREATE TABLE t (i int)');
    const { swap, state } = await place.restore(await place.backup());
    const previous = swap.previous as PreviousDatabase;
    const engine = place.engine();
    expect(await engine.replaced(state, never)).toMatchObject({
      previous: { identity: previous.identity },
    });
    expect(await engine.measurePrevious(previous, never)).toBe(previous.bytes);
    // What a daemon of another test left, which was killed on this server, may go.
    await engine.sweep([state], bed.context());
    expect(await engine.measurePrevious(previous, never)).toBe(previous.bytes);
    const moved = { ...previous, name: `/mounted/elsewhere/${previous.id}.dump` };
    expect(await engine.measurePrevious(moved, never)).toBe(previous.bytes);
    await writeFile(previous.name, 'something else', { flag: 'a' });
    await expect(engine.planUndo(previous, bed.context())).rejects.toMatchObject({
      code: 'restore/previous-gone',
    });
    await engine.dropPrevious(moved, bed.context());
    expect(await engine.measurePrevious(previous, never)).toBeUndefined();
    expect(await readdir(place.folder)).toEqual([]);
  });

  test('others are sent away, and nobody writes between the safety dump and the end', async () => {
    await using place = await InPlaceBed.create(server);
    const { bed } = place;
    await place.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const drop = await place.backup();
    await using idle = await bed.open(bed.live, bed.owner);
    await idle.query('BEGIN');
    await idle.query('INSERT INTO public.t VALUES (2)');
    await place.sql('SELECT 1');
    // The harness calls itself dropback too; a client of the application doesn't.
    await idle.query("SET application_name = 'app'");
    await place.restore(drop);
    expect(idle.lost.aborted).toBe(true);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
  });

  test.each(['none', 'before-commit', 'after-commit'] as const)(
    'a COMMIT without an answer is resolved: cut %s',
    async (fault) => {
      await using place = await InPlaceBed.create(server);
      await using cutter = await CommitCutter.listen(server, 'SET LOCAL synchronous_commit');
      const { bed } = place;
      await place.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
      const drop = await place.backup();
      await place.sql('INSERT INTO t VALUES (2)');
      place.through(cutter.port);
      cutter.fault = fault;
      const attempt = place.restore(drop);
      if (fault === 'before-commit')
        await expect(attempt).rejects.toMatchObject({ retryable: true });
      else await attempt;
      expect(cutter.cuts).toBe(fault === 'none' ? 0 : 1);
      const rows = fault === 'before-commit' ? '2' : '1';
      expect(await bed.value('SELECT count(*) FROM public.t')).toBe(rows);

      expect((await readdir(place.folder)).length).toBe(fault === 'before-commit' ? 0 : 1);
    },
  );
});
