import { createHash } from 'node:crypto';
import { messageOf } from '../../../runtime/errors.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { inTransaction } from './transaction.ts';

/**
 * A superuser never owns what a foreign file brings: autovacuum, and whoever reads a view, would run
 * the file's expressions with the owner's rights. A stand-in owns it instead: a role without login
 * and without rights anywhere else. The superuser works with it as before, because it may do
 * everything anyway.
 */
const STAND_IN = /^dropback_owner_[0-9a-f]{16}$/;

/** The same for every restore into one database; of the name, because it outlives all of them. */
export function standInName(liveName: string): string {
  return `dropback_owner_${createHash('sha256').update(liveName).digest('hex').slice(0, 16)}`;
}

export function isStandIn(name: string): boolean {
  return STAND_IN.test(name);
}

/** On the role: what it is for, and by whose sweep it may go. */
function markOf(liveName: string): string {
  return `owns what foreign files brought into the database ${JSON.stringify(liveName)} (dropback)`;
}

export async function needsStandIn(session: Session, owner: string): Promise<boolean> {
  const rows = await session.query('SELECT 1 FROM pg_roles WHERE rolname = $1 AND rolsuper', [
    owner,
  ]);
  return rows.length > 0;
}

/** Who owns what a foreign file brings, where the owner of the database may not; else undefined. */
export async function standInFor(
  session: Session,
  liveName: string,
  owner: string,
): Promise<StandIn | undefined> {
  if (!(await needsStandIn(session, owner))) return undefined;
  return { name: standInName(liveName), liveName, owner };
}

export interface StandIn {
  readonly name: string;
  readonly liveName: string;
  /** The superuser that it stands in for. */
  readonly owner: string;
}

/** Makes the role if need be. Idempotent; a role of that name with rights of its own loses them. */
export async function createStandIn(session: Session, standIn: StandIn): Promise<void> {
  const name = ident(standIn.name);
  await inTransaction(session, async () => {
    const found = await session.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [standIn.name]);
    if (found.length === 0) {
      await session.query(`CREATE ROLE ${name} NOLOGIN`);
      await session.query(`COMMENT ON ROLE ${name} IS ${literal(markOf(standIn.liveName))}`);
    }
    if (await hasRights(session, standIn.name)) {
      await session.query(
        `ALTER ROLE ${name} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS`,
      );
    }
    await join(session, standIn);
  });
}

async function hasRights(session: Session, name: string): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM pg_roles
      WHERE rolname = $1
        AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin)`,
    [name],
  );
  return rows.length > 0;
}

/** Superusers need no membership: on a server without one, a backup's stand-in acts for its owner. */
async function join(session: Session, { name, owner }: StandIn): Promise<void> {
  const rows = await session.query<{ member: string }>(
    `SELECT rolname AS member FROM pg_roles
      WHERE rolname IN (current_user, $1) AND NOT rolsuper`,
    [owner],
  );
  const options = session.major >= 16 ? ' WITH INHERIT TRUE, SET TRUE' : '';
  for (const { member } of rows) {
    await session.query(`GRANT ${ident(name)} TO ${ident(member)}${options}`);
  }
}

/**
 * In the staging database: what the owner of a database could do there by nature. Views and
 * functions of the stand-in that the application changes later may use what the application makes.
 */
export async function equipStandIn(inStaging: Session, standIn: StandIn): Promise<void> {
  const name = ident(standIn.name);
  // A file may have renamed it, or dropped it.
  if ((await inStaging.query(`SELECT 1 FROM pg_namespace WHERE nspname = 'public'`)).length > 0) {
    await inStaging.query(`GRANT USAGE, CREATE ON SCHEMA public TO ${name}`);
  }
  for (const objects of ['TABLES', 'SEQUENCES', 'SCHEMAS']) {
    await inStaging.query(
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${ident(standIn.owner)} GRANT ALL ON ${objects} TO ${name}`,
    );
  }
}

/** Drops the stand-ins of this live database that own nothing in any database any more. */
export async function dropUnusedStandIns(session: Session, liveName: string): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    `SELECT rolname AS name FROM pg_roles r
      WHERE rolname LIKE 'dropback\\_owner\\_%' AND shobj_description(oid, 'pg_authid') = $1
        AND NOT EXISTS (SELECT FROM pg_shdepend d
                         WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid)`,
    [markOf(liveName)],
  );
  const dropped: string[] = [];
  for (const { name } of rows.filter((row) => isStandIn(row.name))) {
    await session.query(`DROP ROLE IF EXISTS ${ident(name)}`);
    dropped.push(name);
  }
  return dropped;
}

/** The same where it is a courtesy: what was done before it stands. */
export async function tidyStandIns(session: Session, liveName: string): Promise<string[]> {
  try {
    await dropUnusedStandIns(session, liveName);
    return [];
  } catch (error) {
    if (session.lost.aborted) throw error;
    return [`an owner role that nothing needs could not be dropped: ${messageOf(error)}`];
  }
}
