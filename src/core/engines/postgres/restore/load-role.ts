import type { PostgresConnection } from '../../../config/config.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { marker } from './create-staging.ts';
import { parseLoadRole } from './names.ts';
import { randomPassword, scramVerifier } from './scram.ts';
import { inTransaction } from './transaction.ts';

/** Sessions of the load besides the jobs of pg_restore: its own first one, counting, ANALYZE. */
const SPARE_CONNECTIONS = 4;

/**
 * Makes the login role that a foreign file runs as: no attributes, member of nothing, a password
 * that only this process knows (the server gets its verifier). Returns how to connect as it.
 */
export async function createLoadRole(
  session: Session,
  role: {
    readonly name: string;
    readonly liveName: string;
    readonly jobs: number;
    /** What staging may take; its sessions' temporary files are not part of its size. */
    readonly budgetBytes: number;
  },
  control: PostgresConnection,
): Promise<PostgresConnection> {
  const password = randomPassword();
  const name = ident(role.name);
  const limit = role.jobs + SPARE_CONNECTIONS;
  await inTransaction(session, async () => {
    await session.query(
      `CREATE ROLE ${name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
         CONNECTION LIMIT ${limit} PASSWORD ${literal(scramVerifier(password))}`,
    );
    await session.query(`COMMENT ON ROLE ${name} IS ${literal(marker(role.liveName))}`);
    if (await isSuperuser(session)) {
      await session.query(temporaryFileLimit(name, role.budgetBytes));
      // Errors are told apart by their text.
      await session.query(`ALTER ROLE ${name} SET lc_messages = 'C'`);
    } else await session.query(joinRole(session, name));
  });
  return { ...control, user: role.name, password };
}

/**
 * Sorts of a hostile file could fill the server's disk without making staging any larger. Only a
 * superuser may set that limit, so the role can't lift it; other controls have to do without.
 */
function temporaryFileLimit(name: string, budgetBytes: number): string {
  const kilobytes = Math.min(0x7fffffff, Math.ceil(budgetBytes / 1024));
  return `ALTER ROLE ${name} SET temp_file_limit = '${kilobytes}kB'`;
}

/** Control creates a database for the load role and takes its objects over: it must be a member. */
function joinRole(session: Session, name: string): string {
  const options = session.major >= 16 ? ' WITH INHERIT TRUE, SET TRUE' : '';
  return `GRANT ${name} TO CURRENT_USER${options}`;
}

export async function isSuperuser(session: Session): Promise<boolean> {
  const { superuser } = await session.queryOne<{ superuser: boolean }>(
    'SELECT rolsuper AS superuser FROM pg_roles WHERE rolname = current_user',
  );
  return superuser;
}

/** Drops the load role of one restore. What it owned has been handed over or dropped before. */
export async function dropLoadRole(session: Session, name: string): Promise<boolean> {
  if (parseLoadRole(name) === undefined) return false;
  const found = await session.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [name]);
  if (found.length === 0) return false;
  await session.query(`DROP ROLE IF EXISTS ${ident(name)}`);
  return true;
}
