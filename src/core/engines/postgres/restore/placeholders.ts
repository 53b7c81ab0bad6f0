import { messageOf } from '../../../runtime/errors.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { reassignOwned } from './reassign-owned.ts';
import { inTransaction } from './transaction.ts';

/** Marks a role as made by one restore, so that it alone (or a sweep) drops it. */
export function placeholderMark(id: string, liveName: string): string {
  return `dropback: placeholder of restore ${id} of the database ${JSON.stringify(liveName)}`;
}

/** The restore that a role's mark names. */
export function parsePlaceholderMark(comment: string): string | undefined {
  return /^dropback: placeholder of restore ([0-9a-f]{16}) of the database /.exec(comment)?.[1];
}

export interface Placeholders {
  readonly id: string;
  readonly liveName: string;
  readonly names: readonly string[];
}

/**
 * Makes a NOLOGIN role for each name that the file knows and the server doesn't: without it a policy
 * or a whole list of grants would fail. Roles and their marks come into being together.
 */
export async function createPlaceholders(
  session: Session,
  { id, liveName, names }: Placeholders,
): Promise<void> {
  if (names.length === 0) return;
  await inTransaction(session, async () => {
    for (const name of names) {
      await session.query(`CREATE ROLE ${ident(name)} NOLOGIN`);
      await session.query(
        `COMMENT ON ROLE ${ident(name)} IS ${literal(placeholderMark(id, liveName))}`,
      );
      const member = session.major >= 16 ? ' WITH INHERIT TRUE, SET TRUE' : '';
      await session.query(`GRANT ${ident(name)} TO CURRENT_USER${member}`);
    }
  });
}

/** Those of these roles that exist and carry this restore's mark. */
export async function ownPlaceholders(
  session: Session,
  { id, liveName, names }: Placeholders,
): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    `SELECT rolname AS name FROM pg_roles
      WHERE rolname = ANY ($1::text[]) AND shobj_description(oid, 'pg_authid') = $2`,
    [names, placeholderMark(id, liveName)],
  );
  return rows.map((row) => row.name);
}

/**
 * In the staging database: what a placeholder owns goes to `owner`, what it was granted goes away.
 */
export async function emptyPlaceholders(
  inStaging: Session,
  names: readonly string[],
  owner: string,
): Promise<void> {
  // Given to itself, it would be dropped with everything in it.
  if (names.includes(owner)) throw new RangeError(`${owner} is a placeholder and the heir`);
  for (const name of names) {
    await reassignOwned(inStaging, name, owner);
    await inStaging.query(`DROP OWNED BY ${ident(name)}`);
  }
}

/** Drops them; one that something else has come to depend on is left and named. */
export async function dropPlaceholders(
  session: Session,
  placeholders: Placeholders,
): Promise<string[]> {
  const left: string[] = [];
  for (const name of await ownPlaceholders(session, placeholders)) {
    try {
      await session.query(`DROP ROLE ${ident(name)}`);
    } catch (error) {
      left.push(`${name}: ${messageOf(error)}`);
    }
  }
  return left;
}
