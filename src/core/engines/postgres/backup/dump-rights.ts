import { DropbackError } from '../../../runtime/errors.ts';
import { ident, qualified } from '../quoting.ts';
import type { Session } from '../session.ts';

/** What stands between this role and a complete dump. */
export interface MissingRights {
  /** Readable names of what it may not read; at most a few, the total is in `unreadableCount`. */
  readonly unreadable: readonly string[];
  readonly unreadableCount: number;
  /** Tables whose row security would hide rows from it. */
  readonly filtered: readonly string[];
  readonly filteredCount: number;
  readonly unreadableLargeObjects: number;
  readonly role: string;
}

const MOST_NAMES = 20;

/** Compares what pg_dump must lock and read with what the role may. */
export async function findMissingRights(session: Session): Promise<MissingRights> {
  const rows = await session.query<{ schema: string; name: string; filtered: boolean }>(
    `SELECT n.nspname AS schema, c.relname AS name, row_security_active(c.oid) AS filtered
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence IN ('p', 'u')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass
                           AND e.objid = c.oid AND e.deptype = 'e')
        AND (NOT has_schema_privilege(n.oid, 'USAGE')
             OR NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                         ELSE has_table_privilege(c.oid, 'SELECT') END
             OR row_security_active(c.oid))
      ORDER BY 1, 2`,
  );
  const objects = await session.queryOne<{ n: string; role: string }>(
    `SELECT current_user AS role, count(*) FILTER (
              WHERE NOT pg_has_role(lomowner, 'USAGE')
                AND NOT EXISTS (SELECT FROM aclexplode(lomacl) a
                                 WHERE a.privilege_type = 'SELECT'
                                   AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))) AS n
       FROM pg_largeobject_metadata
      WHERE current_setting('lo_compat_privileges') = 'off'`,
  );
  const path = (row: { schema: string; name: string }) => qualified(row.schema, row.name);
  const filtered = rows.filter((row) => row.filtered).map(path);
  const unreadable = rows.filter((row) => !row.filtered).map(path);
  return {
    unreadable: unreadable.slice(0, MOST_NAMES),
    unreadableCount: unreadable.length,
    filtered: filtered.slice(0, MOST_NAMES),
    filteredCount: filtered.length,
    unreadableLargeObjects: Number(objects.n),
    role: objects.role,
  };
}

/** `backup/not-permitted` naming tables and GRANTs, or undefined where nothing is missing. */
export function missingRightsError(rights: MissingRights): DropbackError | undefined {
  const problems: string[] = [];
  const grants: string[] = [];
  if (rights.unreadableCount > 0) {
    problems.push(`may not read ${list(rights.unreadable, rights.unreadableCount)}`);
    grants.push(`GRANT pg_read_all_data TO ${ident(rights.role)};`);
  }
  if (rights.filteredCount > 0) {
    problems.push(`is subject to row security on ${list(rights.filtered, rights.filteredCount)}`);
    grants.push(`ALTER ROLE ${ident(rights.role)} BYPASSRLS;`);
  }
  if (rights.unreadableLargeObjects > 0) {
    problems.push(`may not read ${rights.unreadableLargeObjects} large objects`);
    grants.push(`(for each large object) GRANT SELECT ON LARGE OBJECT … TO ${ident(rights.role)};`);
  }
  if (problems.length === 0) return undefined;
  return new DropbackError(
    'backup/not-permitted',
    `the role ${rights.role} ${problems.join(', and ')}: a dump by it would not be complete`,
    {
      hint: `let a superuser run: ${grants.join(' ')}`,
      facts: { ...rights, grants },
    },
  );
}

function list(names: readonly string[], count: number): string {
  const more = count - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}
