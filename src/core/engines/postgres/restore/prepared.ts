import { DropbackError } from '../../../runtime/errors.ts';
import { sqlState } from '../connection-errors.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { applicationName, parseDatabaseName } from './names.ts';
import type { Server } from './server.ts';

const NOT_PERMITTED = '42501';
/** Somebody else has ended it meanwhile. */
const NO_SUCH_TRANSACTION = '42704';
const MOST_NAMES = 3;

/**
 * Whoever may run statements may prepare a transaction, where max_prepared_transactions allows it. It
 * outlives its session, and its database can be neither renamed nor dropped: with the containers
 * stopped already, that would be found in the swap. Throws `drop/prepared-transaction`.
 */
export async function requireNonePrepared(session: Session, database: string): Promise<void> {
  const prepared = await readPrepared(session, database);
  if (prepared.length === 0) return;
  const names = prepared.slice(0, MOST_NAMES).map(({ gid }) => JSON.stringify(gid));
  throw new DropbackError(
    'drop/prepared-transaction',
    `the file has left prepared transactions behind: ${names.join(', ')}`,
    {
      hint: 'pg_dump writes no PREPARE TRANSACTION: somebody else had a hand in this file. Dump the database again.',
      facts: { prepared: prepared.length },
    },
  );
}

/**
 * Ends what content of a file has prepared in a database that is about to be dropped and that nobody
 * else is in any more. That can be done only from within, by the owner of each or a superuser, and
 * calls nothing of the content. Nothing on the database is changed for it: it belongs to control, so
 * that no content can have shut us out.
 */
export async function rollBackPrepared(
  server: Server,
  maintenance: Session,
  database: string,
  signal: AbortSignal,
): Promise<void> {
  const prepared = await readPrepared(maintenance, database);
  if (prepared.length === 0) return;
  const id = parseDatabaseName(database)?.id ?? '';
  await using inside = await server.open({
    applicationName: applicationName(id),
    database,
    signal,
  });
  for (const one of prepared) await rollBackOne(inside, one);
}

interface Prepared {
  readonly gid: string;
  /** Null where the role is gone. */
  readonly owner: string | null;
}

function readPrepared(session: Session, database: string): Promise<Prepared[]> {
  return session.query<{ gid: string; owner: string | null }>(
    'SELECT gid, owner::text AS owner FROM pg_prepared_xacts WHERE database = $1 ORDER BY prepared',
    [database],
  );
}

async function rollBackOne(inside: Session, { gid, owner }: Prepared): Promise<void> {
  const rollBack = `ROLLBACK PREPARED ${literal(gid)}`;
  try {
    await inside.query(rollBack);
  } catch (error) {
    if (sqlState(error) === NO_SUCH_TRANSACTION) return;
    if (sqlState(error) !== NOT_PERMITTED || owner === null) throw error;
    await inside.query(`SET ROLE ${ident(owner)}`);
    await inside.query(rollBack);
    await inside.query('RESET ROLE');
  }
}
