import { DropbackError } from '../../../runtime/errors.ts';
import { sqlState } from '../connection-errors.ts';
import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';
import { type DatabaseKind, parseDatabaseName } from './names.ts';
import { terminateIn } from './terminate.ts';

export interface Doomed {
  readonly name: string;
  readonly kind: DatabaseKind;
  /** Null only where the database was being created when the daemon died. */
  readonly oid: string | null;
}

/** What an interrupted DROP DATABASE leaves behind: nothing but another DROP works on it. */
const HALF_DROPPED = -2;
const NO_SUCH_DATABASE = '3D000';

/** Rolls back what is prepared in a database. */
export type EndPrepared = (database: string) => Promise<void>;

/**
 * The only place that drops a database. Prefix, exact length and OID must all match; a name that
 * isn't there is fine. Returns whether there was one. Prepared transactions hold a database: where a
 * file's content has made them, `endPrepared` ends them; in a kept one they are somebody's.
 * Throws `restore/not-ours` for a name or an OID that is another's, `restore/drop-failed`.
 */
export async function dropDatabase(
  session: Session,
  doomed: Doomed,
  endPrepared?: EndPrepared,
): Promise<boolean> {
  if (parseDatabaseName(doomed.name)?.kind !== doomed.kind) {
    throw notOurs(doomed, 'its name is not one that a restore chooses');
  }
  const [found] = await session.query<{ oid: string; limit: number; template: boolean }>(
    `SELECT oid::text AS oid, datconnlimit AS limit, datistemplate AS template
       FROM pg_database WHERE datname = $1`,
    [doomed.name],
  );
  if (!found) return false;
  if (doomed.oid !== null && found.oid !== doomed.oid) {
    throw notOurs(doomed, `its oid is ${found.oid}, not ${doomed.oid}`);
  }
  const database = ident(doomed.name);
  try {
    if (found.limit === HALF_DROPPED) {
      await session.query(`DROP DATABASE ${database}`);
      return true;
    }
    await terminateIn(session, [found.oid]);
    // First: one of them may hold the row that the next statement changes.
    await endPrepared?.(doomed.name);
    if (found.template) await session.query(`ALTER DATABASE ${database} IS_TEMPLATE false`);
    await session.query(`DROP DATABASE ${database} WITH (FORCE)`);
  } catch (error) {
    if (error instanceof DropbackError && (error.retryable || error.code === 'run/aborted')) {
      throw error;
    }
    // A DROP that a dead daemon had begun came to its end first.
    if (sqlState(error) === NO_SUCH_DATABASE) return true;
    throw dropFailed(doomed, error);
  }
  return true;
}

function notOurs(doomed: Doomed, why: string): DropbackError {
  return new DropbackError(
    'restore/not-ours',
    `the database ${JSON.stringify(doomed.name)} is not dropped: ${why}`,
    {
      hint: 'look at it by hand: something else has this name. Nothing was changed.',
      facts: { ...doomed },
    },
  );
}

function dropFailed(doomed: Doomed, cause: unknown): DropbackError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DropbackError(
    'restore/drop-failed',
    `the database ${JSON.stringify(doomed.name)} could not be dropped: ${why}`,
    {
      hint: 'subscriptions, active replication slots and prepared transactions in it hold it: remove them, it is dropped at the next attempt.',
      facts: { ...doomed },
      cause,
    },
  );
}
