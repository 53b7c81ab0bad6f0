import type { Session } from '../session.ts';

/**
 * Everything that PostgreSQL keeps around a database rather than in it, and that follows the OID, not
 * the name: after a swap the new database has it only if it was put there before.
 */
export interface DatabaseProfile {
  readonly owner: string;
  /** -1 is unlimited. */
  readonly connectionLimit: number;
  readonly isTemplate: boolean;
  readonly acl: readonly AclEntry[];
  /** `ALTER DATABASE … SET` (role null) and `ALTER ROLE … IN DATABASE … SET`. */
  readonly settings: readonly DatabaseSetting[];
  readonly labels: readonly SecurityLabel[];
  /** Set in the swap's own transaction: until then the comment marks staging as ours. */
  readonly comment: string | null;
}

export interface AclEntry {
  readonly grantor: string;
  /** Null is PUBLIC. */
  readonly grantee: string | null;
  readonly privilege: 'CREATE' | 'TEMPORARY' | 'CONNECT';
  readonly grantable: boolean;
}

export interface DatabaseSetting {
  readonly role: string | null;
  readonly name: string;
  /** As stored in pg_db_role_setting. */
  readonly value: string;
}

export interface SecurityLabel {
  readonly provider: string;
  readonly label: string;
}

interface BaseRow {
  owner: string;
  limit: number;
  template: boolean;
  comment: string | null;
}

/** Undefined where no database has this OID. */
export async function readProfile(
  session: Session,
  oid: string,
): Promise<DatabaseProfile | undefined> {
  const [base] = await session.query<BaseRow>(
    `SELECT pg_get_userbyid(d.datdba) AS owner, d.datconnlimit AS limit, d.datistemplate AS template,
            shobj_description(d.oid, 'pg_database') AS comment
       FROM pg_database d WHERE d.oid = $1::oid`,
    [oid],
  );
  if (!base) return undefined;
  return {
    owner: base.owner,
    connectionLimit: base.limit,
    isTemplate: base.template,
    comment: base.comment,
    acl: await readAcl(session, oid),
    settings: await readSettings(session, oid),
    labels: await session.query<SecurityLabel>(
      `SELECT provider, label FROM pg_shseclabel
        WHERE objoid = $1::oid AND classoid = 'pg_database'::regclass ORDER BY provider`,
      [oid],
    ),
  };
}

function readAcl(session: Session, oid: string): Promise<AclEntry[]> {
  return session.query<AclEntry>(
    `SELECT pg_get_userbyid(a.grantor) AS grantor,
            CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS grantee,
            a.privilege_type AS privilege, a.is_grantable AS grantable
       FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
      WHERE d.oid = $1::oid ORDER BY 1, 2 NULLS FIRST, 3, 4`,
    [oid],
  );
}

/** In the order in which they are stored: the order within an array is part of the value. */
function readSettings(session: Session, oid: string): Promise<DatabaseSetting[]> {
  return session.query<DatabaseSetting>(
    `SELECT CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole) END AS role,
            split_part(c.item, '=', 1) AS name,
            substr(c.item, strpos(c.item, '=') + 1) AS value
       FROM pg_db_role_setting s, unnest(s.setconfig) WITH ORDINALITY c(item, n)
      WHERE s.setdatabase = $1::oid ORDER BY s.setrole, c.n`,
    [oid],
  );
}

/** One line for each part in which they differ; the comment is left to the swap. */
export function profileDifferences(wanted: DatabaseProfile, found: DatabaseProfile): string[] {
  const parts = [
    'owner',
    'connectionLimit',
    'isTemplate',
    'acl',
    'settings',
    'labels',
  ] as const satisfies readonly (keyof DatabaseProfile)[];
  const differences: string[] = [];
  for (const part of parts) {
    const [want, have] = [JSON.stringify(wanted[part]), JSON.stringify(found[part])];
    if (want !== have) differences.push(`${part}: ${want} is wanted, ${have} was found`);
  }
  return differences;
}
