import { describe, expect, test } from 'vitest';
import { servers } from '../support/testbed.ts';
import { BackupBed, never, until } from './postgres-backup-bed.ts';

describe.each(servers)('locks beside a backup of PostgreSQL $major', (server) => {
  /** What the dump writes, or the error that it ends with; and whether it still goes on. */
  function start(bed: BackupBed, lockWaitMs: number) {
    const state = { isOver: false };
    const engine = bed.engineAs({}, lockWaitMs);
    const result = engine
      .dump(bed.request(), never)
      .catch((error: unknown) => error)
      .finally(() => {
        state.isOver = true;
      });
    return { result, state };
  }

  /** Sessions of this database by their names, of those that wait for a lock. */
  const waiting = (bed: BackupBed, name: string) =>
    until(async () => {
      const rows = await bed.admin.query(
        `SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
          WHERE NOT l.granted AND a.datname = $1 AND a.application_name = $2`,
        [bed.connection.database, name],
      );
      return rows.length > 0 || undefined;
    });

  const connected = (bed: BackupBed, name: string) =>
    until(async () => {
      const rows = await bed.admin.query(
        'SELECT FROM pg_stat_activity WHERE datname = $1 AND application_name = $2',
        [bed.connection.database, name],
      );
      return rows.length > 0 || undefined;
    });

  test('while one table is locked, the application and migrations of others go on', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run(
      'CREATE TABLE public.a_first AS SELECT 1 AS a',
      'CREATE TABLE public.busy AS SELECT 1 AS a',
      'CREATE TABLE public.parent (a int) PARTITION BY LIST (a)',
      'CREATE VIEW public.seen AS SELECT a FROM public.busy',
      'CREATE MATERIALIZED VIEW public.stored AS SELECT a FROM public.busy',
      'CREATE SEQUENCE public.counted',
    );
    // pg_dump would wait for each, the last three of them without any limit of its own.
    for (const statement of [
      'LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE',
      'LOCK TABLE ONLY public.parent IN ACCESS EXCLUSIVE MODE',
      'CREATE OR REPLACE VIEW public.seen AS SELECT a FROM public.busy',
      'REFRESH MATERIALIZED VIEW public.stored',
      'ALTER SEQUENCE public.counted OWNER TO CURRENT_USER',
    ]) {
      await using migration = await bed.open();
      await migration.query('BEGIN');
      await migration.query(statement);
      const dump = start(bed, 300_000);
      await connected(bed, 'dropback snapshot');
      for (let round = 0; round < 5; round++) {
        // Each would wait for a lock that the backup holds; and the next one behind it.
        await bed.run(
          'ALTER TABLE public.a_first ADD COLUMN b int',
          'TRUNCATE public.a_first',
          'INSERT INTO public.a_first VALUES (1)',
          'ALTER TABLE public.a_first DROP COLUMN b',
        );
      }
      expect(dump.state.isOver, statement).toBe(false);
      await migration.query('COMMIT');
      expect(await dump.result).toMatchObject({
        tables: [
          { name: 'a_first', rows: 1 },
          { name: 'busy', rows: 1 },
        ],
      });
    }
  });

  test('a view that stays locked is an error that names who locks it', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE VIEW public.seen AS SELECT 1 AS a');
    await using migration = await bed.open();
    await migration.query('BEGIN');
    await migration.query('DROP VIEW public.seen');
    expect(await start(bed, 300).result).toMatchObject({
      code: 'backup/locked',
      message: expect.stringMatching(/dropback test .* on public\.seen/),
    });
  });

  test('a table that is dropped while the backup waits for it is not in it', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.gone (a int)', 'CREATE TABLE public.kept (a int)');
    await using migration = await bed.open();
    await migration.query('BEGIN');
    await migration.query('DROP TABLE public.gone');
    const dump = start(bed, 300_000);
    await connected(bed, 'dropback snapshot');
    await migration.query('COMMIT');
    expect(await dump.result).toMatchObject({ tables: [{ name: 'kept' }] });
  });

  /** pg_dump gets all its tables, and then waits: for what nothing else of ours looks at. */
  async function holdUp(bed: BackupBed) {
    const holder = await bed.open();
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE pg_catalog.pg_policy IN ACCESS EXCLUSIVE MODE');
    return holder;
  }

  test('a view that goes while pg_dump is at work: the dump is made once more', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.kept (a int)', 'CREATE VIEW public.gone AS SELECT 1 AS a');
    await using holder = await holdUp(bed);
    const dump = start(bed, 300_000);
    await waiting(bed, 'dropback pg_dump');
    await bed.run('DROP VIEW public.gone');
    await holder.query('ROLLBACK');
    expect(await dump.result).toMatchObject({ tables: [{ name: 'kept' }] });
  });

  test('what is locked after our look at it is given up in time, and nothing stays locked', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.held AS SELECT 1 AS a');
    // Never looked at by us: as a view would be that is locked a moment after we have.
    await using _holder = await holdUp(bed);
    expect(await start(bed, 500).result).toMatchObject({
      code: 'backup/locked',
      message: expect.stringMatching(/dropback test .* on pg_catalog\.pg_policy/),
    });
    // Its own sessions are gone, though what they waited for is still locked.
    await using session = await bed.open();
    await session.query('SET lock_timeout = 0');
    await session.query('TRUNCATE public.held');
  });

  test('a DROP that comes during the dump waits for its end, and the table is in it', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.dropped AS SELECT 1 AS a');
    await using holder = await holdUp(bed);
    const dump = start(bed, 300_000);
    await waiting(bed, 'dropback pg_dump');
    await using other = await bed.open();
    await other.query('SET lock_timeout = 0');
    const dropping = other.query('DROP TABLE public.dropped');
    await waiting(bed, 'dropback test');
    await holder.query('ROLLBACK');
    expect(await dump.result).toMatchObject({ tables: [{ name: 'dropped', rows: 1 }] });
    await dropping;
  });
});
