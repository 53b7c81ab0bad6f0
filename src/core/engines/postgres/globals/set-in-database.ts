import type { SavedRole } from '../../../archive/manifest.ts';
import { ident } from '../quoting.ts';
import { inTransaction } from '../restore/transaction.ts';
import type { Session } from '../session.ts';
import { refused } from './refused.ts';
import { setInDatabase } from './role-statements.ts';

/**
 * ALTER ROLE … IN DATABASE … SET on the live database, from which a swap carries it over: of the roles
 * that are here, what they had set in the backup's and have not set in this one. A line for each, without
 * the value, which may be a secret.
 */
export async function setRolesInDatabase(
  session: Session,
  liveName: string,
  saved: readonly SavedRole[],
): Promise<string[]> {
  const wanted = saved.flatMap(({ name: role, databaseSettings = [] }) =>
    databaseSettings.map((setting) => ({ role, setting })),
  );
  if (wanted.length === 0) return [];
  const here = await settingsHere(session, liveName, wanted);
  const notes: string[] = [];
  await inTransaction(session, async () => {
    for (const { role, setting } of wanted) {
      const known = here.get(role);
      if (!known || known.has(setting.name.toLowerCase())) continue;
      const statement = setInDatabase(role, liveName, setting);
      const isLeftOut = (await refused(session, statement)) !== undefined;
      const what = `the setting ${setting.name} of the role ${ident(role)} in this database`;
      notes.push(isLeftOut ? `left out: ${what}` : `set as in the backup: ${what}`);
    }
  });
  return notes;
}

/** Of each role that is here, the names of what it has set in the database. */
async function settingsHere(
  session: Session,
  liveName: string,
  wanted: readonly { readonly role: string }[],
): Promise<Map<string, Set<string>>> {
  const rows = await session.query<{ role: string; settings: readonly string[] | null }>(
    `SELECT r.rolname AS role, s.setconfig AS settings
       FROM pg_roles r
       LEFT JOIN pg_database d ON d.datname = $1
       LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = d.oid
      WHERE r.rolname = ANY ($2::text[])`,
    [liveName, wanted.map(({ role }) => role)],
  );
  return new Map(
    rows.map(({ role, settings }) => [
      role,
      new Set((settings ?? []).map((one) => one.slice(0, one.indexOf('=')).toLowerCase())),
    ]),
  );
}
