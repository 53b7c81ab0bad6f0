import type { PostgresConnection } from '../../../config/config.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { scramVerifier } from './scram.ts';
import type { Server } from './server.ts';
import { inTransaction } from './transaction.ts';

const NAME = 'dropback load role';

/**
 * RESTORE_LOAD_URL's role outlives a restore, and every role may change its own settings and its own
 * password: a file could make the next login fail, or have its settings carried from the live
 * database to the next one. So what it can set itself is reset, before each load and after it.
 * Throws `database/auth-failed` where the login of RESTORE_LOAD_URL is wrong before anything is loaded.
 */
export async function prepareGivenRole(
  server: Server,
  session: Session,
  load: PostgresConnection,
  signal: AbortSignal,
): Promise<void> {
  await resetSettings(session, load.user);
  await logIn(server, load, signal);
}

/** After a load that had its login right when it began. */
export async function tidyLoadRole(
  server: Server,
  session: Session,
  load: PostgresConnection,
  signal: AbortSignal,
): Promise<void> {
  await resetSettings(session, load.user);
  try {
    await logIn(server, load, signal);
  } catch (error) {
    if (!(error instanceof DropbackError) || error.code !== 'database/auth-failed') throw error;
    await putPasswordBack(session, load);
  }
}

/** What only a superuser can have set stays. */
async function resetSettings(session: Session, role: string): Promise<void> {
  const rows = await session.query<{ database: string | null }>(
    `SELECT datname AS database FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = setdatabase
      WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = $1)`,
    [role],
  );
  for (const { database } of rows) {
    const where = database === null ? '' : ` IN DATABASE ${ident(database)}`;
    await asRole(session, role, `ALTER ROLE ${ident(role)}${where} RESET ALL`);
  }
}

/** Whether it may connect to that database is another question. */
async function logIn(server: Server, load: PostgresConnection, signal: AbortSignal): Promise<void> {
  try {
    await using _ = await server.openAs(load, { applicationName: NAME, signal });
  } catch (error) {
    if (!(error instanceof DropbackError) || error.code !== 'database/query-failed') throw error;
  }
}

async function putPasswordBack(session: Session, load: PostgresConnection): Promise<void> {
  const { user, password } = load;
  if (password === undefined) return;
  await asRole(session, user, `ALTER ROLE ${ident(user)} PASSWORD ${literal(stored(password))}`);
}

function stored(password: string): string {
  return /^[\x21-\x7e]+$/.test(password) ? scramVerifier(password) : password;
}

/** Control is a member of it, and need not be able to change roles. */
async function asRole(session: Session, role: string, sql: string): Promise<void> {
  await inTransaction(session, async () => {
    await session.query(`SET LOCAL ROLE ${ident(role)}`);
    await session.query(sql);
  });
}
