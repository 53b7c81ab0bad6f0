import type { Clock } from '../../../runtime/clock.ts';
import { type CatalogTable, readPartitioned, readTables } from '../catalog.ts';
import { sqlState } from '../connection-errors.ts';
import { qualified } from '../quoting.ts';
import type { Session } from '../session.ts';
import { findBlockers, isNothingElseLocked, lockedError } from './snapshot-blockers.ts';

/** A snapshot that lives as long as the session's transaction. */
export interface Snapshot {
  /** For `pg_dump --snapshot` and `SET TRANSACTION SNAPSHOT`. */
  readonly id: string;
  readonly takenAt: Date;
  /** The tables in it whose rows a dump holds. */
  readonly tables: readonly CatalogTable[];
  /** False where the server's lock table was too small to hold them all. */
  readonly isLocked: boolean;
}

export interface LockPatience {
  /** Milliseconds. */
  readonly waitMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const TABLES_PER_LOCK = 200;
const POLL_MS = 250;

/**
 * Begins a transaction on the session, locks the tables against being changed or emptied (ACCESS
 * SHARE, as pg_dump does a moment later) and then takes and exports the snapshot. In this order,
 * because TRUNCATE and a rewriting ALTER TABLE don't respect snapshots: without the locks they could
 * come between the count of a table and its dump.
 *
 * It never queues for a lock: while one table isn't free, no other is held either. Otherwise a
 * migration of another table would wait for us, and the whole application behind it. The same goes for
 * views and sequences, which can't be locked: pg_dump would wait for them without any limit.
 *
 * Throws `backup/locked` when a table isn't free for so long. The caller ends the transaction, or
 * the session.
 */
export async function takeSnapshot(session: Session, patience: LockPatience): Promise<Snapshot> {
  const { clock, signal, waitMs } = patience;
  const start = clock.monotonic();
  for (;;) {
    const wanted = [...(await readTables(session)), ...(await readPartitioned(session))];
    await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    try {
      const isLocked = await lockTables(session, wanted);
      if (!(await isNothingElseLocked(session))) throw new ViewLocked();
      const { id } = await session.queryOne<{ id: string }>('SELECT pg_export_snapshot() AS id');
      const takenAt = clock.now();
      return { id, takenAt, tables: await readTables(session), isLocked };
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE && !(error instanceof ViewLocked)) throw error;
      await session.query('ROLLBACK');
      const left = waitMs - (clock.monotonic() - start);
      if (left <= 0) throw lockedError(await findBlockers(session), error);
      await clock.sleep(Math.min(POLL_MS, left), signal);
    }
  }
}

const LOCK_NOT_AVAILABLE = '55P03';

class ViewLocked extends Error {}

async function lockTables(
  session: Session,
  tables: readonly Pick<CatalogTable, 'schema' | 'name'>[],
): Promise<boolean> {
  await session.query('SAVEPOINT unlocked');
  try {
    for (let from = 0; from < tables.length; from += TABLES_PER_LOCK) {
      const names = tables
        .slice(from, from + TABLES_PER_LOCK)
        .map(({ schema, name }) => `ONLY ${qualified(schema, name)}`);
      await session.query(`LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE NOWAIT`);
    }
    // A snapshot can't be exported from within a subtransaction.
    await session.query('RELEASE SAVEPOINT unlocked');
    return true;
  } catch (error) {
    // Out of lock table space, where pg_dump alone may still find enough: go on without.
    if (sqlState(error) !== '53200') throw error;
    await session.query('ROLLBACK TO SAVEPOINT unlocked');
    await session.query('RELEASE SAVEPOINT unlocked');
    return false;
  }
}
