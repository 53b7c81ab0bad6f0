import type { Clock } from '../../../runtime/clock.ts';
import { connect } from '../connection.ts';
import type { Session } from '../session.ts';
import { type DumpCommand, PG_DUMP } from './dump-command.ts';
import { findBlockers, lockedError } from './snapshot-blockers.ts';

const END_TIMEOUT_MS = 10_000;

/**
 * Runs pg_dump's work, and ends it where pg_dump waits for a lock longer than `lockWaitMs` (half as long
 * again at most): for a view or sequence that was locked just after our own look at them it would wait
 * without limit, with every table held. Its sessions are ended too, because the server doesn't notice
 * that a client is gone while it waits. Then rejects with `backup/locked`.
 *
 * It looks on a connection that is closed at once, so that it takes no place from pg_dump's; one that it
 * can't have is a look that is left out.
 */
export async function withLockWatch<T>(
  command: DumpCommand,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const stuck = new AbortController();
  const watching = watch(command, clock, AbortSignal.any([signal, over.signal]), stuck);
  try {
    return await work(AbortSignal.any([signal, stuck.signal]));
  } catch (error) {
    throw stuck.signal.aborted ? stuck.signal.reason : error;
  } finally {
    over.abort();
    await watching;
  }
}

/** Never throws. */
async function watch(
  command: DumpCommand,
  clock: Clock,
  signal: AbortSignal,
  stuck: AbortController,
): Promise<void> {
  while (!signal.aborted && !stuck.signal.aborted) {
    try {
      await clock.sleep(command.lockWaitMs / 2, signal);
      await look(command, signal, stuck);
    } catch {
      // Only what is locked is a reason to end a dump: not that nobody could look.
    }
  }
}

async function look(
  { connection, lockWaitMs }: DumpCommand,
  signal: AbortSignal,
  stuck: AbortController,
): Promise<void> {
  await using session = await connect(connection, { applicationName: 'dropback watch', signal });
  const waiting = await waitingDumps(session, lockWaitMs);
  if (waiting.length === 0) return;
  const blockers = await findBlockers(session);
  // First: what ending its sessions does to pg_dump is not the reason.
  stuck.abort(lockedError(blockers, undefined));
  const end = 'SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid';
  await session.query(end, [waiting], AbortSignal.timeout(END_TIMEOUT_MS));
}

/** The server's processes of this role's pg_dump here that have waited for so long. */
async function waitingDumps(session: Session, waitMs: number): Promise<number[]> {
  const rows = await session.query<{ pid: number }>(
    `SELECT a.pid FROM pg_stat_activity a
      WHERE a.datname = current_database() AND a.usename = current_user
        AND a.application_name = $1
        AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted
                       AND l.waitstart < clock_timestamp() - $2 * interval '1 millisecond')`,
    [PG_DUMP, waitMs],
  );
  return rows.map(({ pid }) => pid);
}
