import { createHash } from 'node:crypto';
import type { PostgresConnection } from '../../config/config.ts';
import type { Clock } from '../../runtime/clock.ts';
import { DropbackError } from '../../runtime/errors.ts';
import type { DatabaseLock, LockRequest } from '../engine.ts';
import { connect } from './connection.ts';
import type { Session } from './session.ts';

const POLL_MS = 1000;

/** The database's one lock: which it is, and from where it is taken. */
export interface LockTarget {
  readonly connection: PostgresConnection;
  /** Any session in the live database would block a swap, so the lock is held in this one. */
  readonly maintenanceDatabase: string;
  /** The database that is locked. */
  readonly database: string;
}

/**
 * Takes the advisory lock of a database, in the maintenance database. It is asked for again and
 * again instead of waited for within one statement, which would keep vacuum from cleaning up.
 * Throws `lock/busy` (retryable; facts: holder) after `request.waitMs`.
 */
export async function takeLock(
  target: LockTarget,
  request: LockRequest,
  clock: Clock,
  signal: AbortSignal,
): Promise<DatabaseLock> {
  const session = await connect(target.connection, {
    database: target.maintenanceDatabase,
    applicationName: `dropback ${request.purpose} lock`,
    signal,
  });
  try {
    await acquire(session, target.database, request, clock, signal);
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
  return { lost: session.lost, [Symbol.asyncDispose]: () => session[Symbol.asyncDispose]() };
}

/** Signed 64 bits of a hash: the same in every process, unlikely to be an application's own key. */
export function lockKey(database: string): bigint {
  const hash = createHash('sha256').update(`dropback database lock v1\0${database}`).digest();
  return hash.readBigInt64BE(0);
}

/** application_name of whoever holds the lock, or undefined where nobody does or may know. */
export async function lockHolder(session: Session, database: string): Promise<string | undefined> {
  const key = BigInt.asUintN(64, lockKey(database));
  const rows = await session.query<{ name: string | null; pid: number }>(
    `SELECT a.application_name AS name, l.pid
       FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid::bigint = $1 AND l.objid::bigint = $2`,
    [String(key >> 32n), String(key & 0xffffffffn)],
  );
  const [holder] = rows;
  return holder && `${holder.name || 'a session'} (pid ${holder.pid})`;
}

async function acquire(
  session: Session,
  database: string,
  request: LockRequest,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const start = clock.monotonic();
  for (let isFirst = true; ; isFirst = false) {
    const { taken } = await session.queryOne<{ taken: boolean }>(
      'SELECT pg_try_advisory_lock($1::bigint) AS taken',
      [String(lockKey(database))],
    );
    if (taken) return;
    const holder = await lockHolder(session, database);
    const left = request.waitMs - (clock.monotonic() - start);
    if (left <= 0) throw busy(database, holder);
    if (isFirst) request.onWait?.(holder);
    await clock.sleep(Math.min(POLL_MS, left), signal);
  }
}

function busy(database: string, holder: string | undefined): DropbackError {
  return new DropbackError(
    'lock/busy',
    `the database ${JSON.stringify(database)} is locked by ${holder ?? 'another session'}`,
    {
      hint: 'another backup or restore of this database is running: wait until it is done.',
      facts: { database, holder },
      retryable: true,
    },
  );
}
