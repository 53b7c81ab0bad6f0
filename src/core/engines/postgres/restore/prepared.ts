import { DropbackError } from '../../../runtime/errors.ts';
import { sqlState } from '../connection-errors.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { parseDatabaseName } from './names.ts';
import type { Server } from './server.ts';
import { enterStaging } from './staging-sessions.ts';

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
 * Ends what content of a file has prepared in a database that is about to be dropped. Only from
 * within that database, and by its owner or a superuser: so control goes in there, as whom it takes.
 */
export async function rollBackPrepared(
  server: Server,
  maintenance: Session,
  database: { readonly name: string; readonly oid: string },
  signal: AbortSignal,
): Promise<void> {
  const prepared = await readPrepared(maintenance, database.name);
  if (prepared.length === 0) return;
  await letUsIn(maintenance, database.name);
  const id = parseDatabaseName(database.name)?.id ?? '';
  await using inside = await enterStaging(server, maintenance, { id, ...database }, signal);
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

/** Its owner, the file's own role, may have shut everybody out. */
async function letUsIn(maintenance: Session, name: string): Promise<void> {
  const { open } = await maintenance.queryOne<{ open: boolean }>(
    `SELECT datallowconn AND datconnlimit = -1 AND has_database_privilege(oid, 'CONNECT') AS open
       FROM pg_database WHERE datname = $1`,
    [name],
  );
  // Not in vain: such a transaction may hold the very row that these would change.
  if (open) return;
  const database = ident(name);
  await maintenance.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS true CONNECTION LIMIT -1`);
  await maintenance.query(`GRANT CONNECT ON DATABASE ${database} TO CURRENT_USER`);
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
