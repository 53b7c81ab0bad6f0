import { messageOf } from '../../../runtime/errors.ts';
import { sqlState } from '../connection-errors.ts';
import type { Session } from '../session.ts';

/**
 * Runs one statement of a transaction. Returns the server's reason where it refuses, which leaves the
 * transaction as it was; a lost connection is thrown.
 */
export async function refused(session: Session, statement: string): Promise<string | undefined> {
  await session.query('SAVEPOINT one');
  try {
    await session.query(statement);
    await session.query('RELEASE SAVEPOINT one');
    return undefined;
  } catch (error) {
    if (sqlState(error) === undefined || session.lost.aborted) throw error;
    await session.query('ROLLBACK TO SAVEPOINT one');
    await session.query('RELEASE SAVEPOINT one');
    return messageOf(error);
  }
}
