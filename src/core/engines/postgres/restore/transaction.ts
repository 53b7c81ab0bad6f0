import type { Session } from '../session.ts';

const ROLLBACK_TIMEOUT_MS = 5000;

/** Runs `work` in one transaction, one statement a round trip; rolled back when it throws. */
export async function inTransaction<T>(session: Session, work: () => Promise<T>): Promise<T> {
  await session.query('BEGIN');
  try {
    const result = await work();
    await session.query('COMMIT');
    return result;
  } catch (error) {
    await rollBack(session);
    throw error;
  }
}

/**
 * Never throws: the error that led here matters, and a connection that is gone has rolled back by
 * itself. Has a signal of its own, because the session's may be why we are here.
 */
export async function rollBack(session: Session): Promise<void> {
  await session
    .query('ROLLBACK', [], AbortSignal.timeout(ROLLBACK_TIMEOUT_MS))
    .catch(() => undefined);
}
