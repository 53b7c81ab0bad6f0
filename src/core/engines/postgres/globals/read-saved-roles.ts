import type {
  SavedMembership,
  SavedRole,
  SavedRoleAttribute,
  SavedSetting,
} from '../../../archive/manifest.ts';
import type { Session } from '../session.ts';

/**
 * The roles without which a restore on another server would not be the same: those that own something
 * here or are granted something (`named`), whoever is a member of one, and what all of them are members
 * of. Passwords, where they are asked for, are there only for who may read them: a superuser; all else
 * is in views that any role may read.
 */
export async function readSavedRoles(
  session: Session,
  named: readonly string[],
  withPasswords: boolean,
): Promise<SavedRole[]> {
  const rows = await session.query<RoleRow>(ROLES, [named]);
  const memberships = await readMemberships(session, named);
  const passwords = withPasswords ? await readPasswords(session) : new Map<string, string>();
  return rows.map((row) => ({
    name: row.name,
    ...passwordOf(passwords.get(row.name)),
    attributes: attributes.filter(([column]) => row[column]).map(([, attribute]) => attribute),
    connectionLimit: row.limit,
    ...(row.until === null ? {} : { validUntil: row.until }),
    settings: (row.settings ?? []).map(splitSetting),
    ...(row.here === null ? {} : { databaseSettings: row.here.map(splitSetting) }),
    memberOf: memberships
      .filter(({ member }) => member === row.name)
      .map(({ member: _, ...membership }) => membership),
  }));
}

const CLOSURE = `
  WITH RECURSIVE used AS (
    SELECT oid FROM pg_roles WHERE rolname = ANY ($1::text[]) OR rolname = current_user
    UNION SELECT s.setrole FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
           WHERE d.datname = current_database() AND s.setrole <> 0),
  members AS (
    SELECT oid FROM used
    UNION SELECT m.member FROM members JOIN pg_auth_members m ON m.roleid = members.oid),
  saved AS (
    SELECT oid FROM members
    UNION SELECT m.roleid FROM saved JOIN pg_auth_members m ON m.member = saved.oid)`;

const ROLES = `${CLOSURE}
  SELECT r.rolname AS name, r.rolsuper AS superuser, r.rolinherit AS inherit,
         r.rolcreaterole AS createrole, r.rolcreatedb AS createdb, r.rolcanlogin AS login,
         r.rolreplication AS replication, r.rolbypassrls AS bypassrls,
         r.rolconnlimit AS "limit", r.rolvaliduntil::text AS until,
         (SELECT s.setconfig FROM pg_db_role_setting s
           WHERE s.setrole = r.oid AND s.setdatabase = 0) AS settings,
         (SELECT s.setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
           WHERE s.setrole = r.oid AND d.datname = current_database()) AS here
    FROM saved JOIN pg_roles r USING (oid)
   WHERE r.rolname !~ '^(pg_|dropback_load_)'
   ORDER BY 1`;

interface RoleRow {
  readonly name: string;
  readonly superuser: boolean;
  readonly inherit: boolean;
  readonly createrole: boolean;
  readonly createdb: boolean;
  readonly login: boolean;
  readonly replication: boolean;
  readonly bypassrls: boolean;
  readonly limit: number;
  readonly until: string | null;
  readonly settings: readonly string[] | null;
  /** In this database alone. */
  readonly here: readonly string[] | null;
}

const attributes = [
  ['superuser', 'SUPERUSER'],
  ['inherit', 'INHERIT'],
  ['createrole', 'CREATEROLE'],
  ['createdb', 'CREATEDB'],
  ['login', 'LOGIN'],
  ['replication', 'REPLICATION'],
  ['bypassrls', 'BYPASSRLS'],
] as const satisfies readonly (readonly [keyof RoleRow, SavedRoleAttribute])[];

/** From 16 on there may be several of the same pair, by different grantors. */
async function readMemberships(
  session: Session,
  named: readonly string[],
): Promise<(SavedMembership & { readonly member: string })[]> {
  const options =
    session.major >= 16
      ? ', bool_or(m.inherit_option) AS inherit, bool_or(m.set_option) AS set'
      : '';
  return session.query(
    `${CLOSURE}
     SELECT member.rolname AS member, role.rolname AS role, bool_or(m.admin_option) AS admin${options}
       FROM pg_auth_members m
       JOIN saved ON saved.oid = m.member
       JOIN pg_roles member ON member.oid = m.member
       JOIN pg_roles role ON role.oid = m.roleid
      WHERE role.rolname !~ '^dropback_load_'
      GROUP BY 1, 2 ORDER BY 1, 2`,
    [named],
  );
}

/** Whether this session may read passwords. */
export async function mayReadPasswords(session: Session): Promise<boolean> {
  const { may } = await session.queryOne<{ may: boolean }>(
    "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS may",
  );
  return may;
}

async function readPasswords(session: Session): Promise<Map<string, string>> {
  const rows = await session.query<{ name: string; password: string }>(
    'SELECT rolname AS name, rolpassword AS password FROM pg_authid WHERE rolpassword IS NOT NULL',
  );
  return new Map(rows.map(({ name, password }) => [name, password]));
}

function passwordOf(password: string | undefined): Pick<SavedRole, 'password'> {
  return password === undefined ? {} : { password };
}

function splitSetting(setting: string): SavedSetting {
  const at = setting.indexOf('=');
  return { name: setting.slice(0, at), value: setting.slice(at + 1) };
}
