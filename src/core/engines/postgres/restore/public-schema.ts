import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';

/** The schema that every new database has is told by its OID: a file may rename it. */
const PUBLIC = 2200;

/** In a staging database that control owns: the load works in `public` as if it were its own. */
export async function lendPublic(inStaging: Session, loadRole: string): Promise<void> {
  await inStaging.query(`ALTER SCHEMA public OWNER TO ${ident(loadRole)}`);
}

/** After the load: whoever owns the database has it again, as in any other. */
export async function takePublicBack(inStaging: Session, loadRole: string): Promise<void> {
  const [lent] = await inStaging.query<{ name: string }>(
    `SELECT nspname AS name FROM pg_namespace
      WHERE oid = $1 AND nspowner = (SELECT oid FROM pg_roles WHERE rolname = $2)`,
    [PUBLIC, loadRole],
  );
  if (!lent) return;
  await inStaging.query(`ALTER SCHEMA ${ident(lent.name)} OWNER TO pg_database_owner`);
}
