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
    );
    await using migration = await bed.open();
    await migration.query('BEGIN');
    await migration.query('LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE');
    const dump = start(bed, 300_000);
    await connected(bed, 'dropback snapshot');
    for (let round = 0; round < 10; round++) {
      // Each would wait for a lock that the backup holds; and the next one behind it.
      await bed.run('ALTER TABLE public.a_first ADD COLUMN b int', 'TRUNCATE public.a_first');
      await bed.run(
        'INSERT INTO public.a_first VALUES (1)',
        'ALTER TABLE public.a_first DROP COLUMN b',
      );
    }
    expect(dump.state.isOver).toBe(false);
    await migration.query('COMMIT');
    expect(await dump.result).toMatchObject({
      tables: [
        { name: 'a_first', rows: 1 },
        { name: 'busy', rows: 1 },
      ],
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

  test('one that goes while pg_dump waits for it: the dump is made once more', async () => {
    await using bed = await BackupBed.create(server);
    // Its rows would be its partitions', so that the count needs no lock on it.
    await bed.run('CREATE TABLE public.gone (a int) PARTITION BY LIST (a)');
    await bed.run('CREATE TABLE public.kept (a int)');
    await using migration = await bed.open();
    await migration.query('BEGIN');
    await migration.query('DROP TABLE public.gone');
    const dump = start(bed, 300_000);
    await waiting(bed, 'dropback pg_dump');
    await migration.query('COMMIT');
    expect(await dump.result).toMatchObject({ tables: [{ name: 'kept' }] });
  });

  test('a DROP that comes during the dump waits for its end, and the table is in it', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.dropped AS SELECT 1 AS a');
    await bed.run('CREATE TABLE public.held (a int) PARTITION BY LIST (a)');
    await using migration = await bed.open();
    await migration.query('BEGIN');
    await migration.query('LOCK TABLE ONLY public.held IN ACCESS EXCLUSIVE MODE');
    const dump = start(bed, 300_000);
    await waiting(bed, 'dropback pg_dump');
    await using other = await bed.open();
    await other.query('SET lock_timeout = 0');
    const dropping = other.query('DROP TABLE public.dropped');
    await waiting(bed, 'dropback test');
    await migration.query('ROLLBACK');
    expect(await dump.result).toMatchObject({ tables: [{ name: 'dropped', rows: 1 }] });
    await dropping;
  });
});
