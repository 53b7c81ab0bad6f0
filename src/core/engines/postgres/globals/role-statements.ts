import type { SavedMembership, SavedRole, SavedSetting } from '../../../archive/manifest.ts';
import { ident, literal } from '../quoting.ts';
import { settingValue } from '../restore/setting-value.ts';

/** What only a superuser, or who has it too, can give. */
const PRIVILEGED = new Set(['SUPERUSER', 'CREATEROLE', 'CREATEDB', 'REPLICATION', 'BYPASSRLS']);

export function isPrivileged({ attributes }: SavedRole): boolean {
  return attributes.some((attribute) => PRIVILEGED.has(attribute));
}

/** Rebuilt from names and known words alone. `plain` leaves out what is privileged. */
export function createRole(role: SavedRole, plain = false): string {
  const { name, connectionLimit, validUntil, password } = role;
  const given = role.attributes.filter((attribute) => !plain || !PRIVILEGED.has(attribute));
  const words = [
    ...given.filter((attribute) => attribute !== 'INHERIT'),
    given.includes('INHERIT') ? 'INHERIT' : 'NOINHERIT',
    ...(connectionLimit < 0 ? [] : [`CONNECTION LIMIT ${connectionLimit}`]),
    ...(password === undefined ? [] : [`PASSWORD ${literal(password)}`]),
    ...(validUntil === undefined ? [] : [`VALID UNTIL ${literal(validUntil)}`]),
  ];
  return `CREATE ROLE ${ident(name)} WITH ${words.join(' ')}`;
}

export function setRoleSettings({ name, settings }: SavedRole): string[] {
  return settings.map(
    (one) =>
      `ALTER ROLE ${ident(name)} SET ${ident(one.name)} TO ${settingValue(one.name, one.value)}`,
  );
}

/** ALTER ROLE … IN DATABASE … SET. */
export function setInDatabase(role: string, database: string, setting: SavedSetting): string {
  return aroundDatabase(role, setting).join(ident(database));
}

/** Servers before 16 know the admin option alone. */
export function grantMembership(
  member: string,
  { role, admin, inherit, set }: SavedMembership,
  serverMajor: number,
): string {
  const grant = `GRANT ${ident(role)} TO ${ident(member)}`;
  if (serverMajor < 16 || inherit === undefined || set === undefined) {
    return admin ? `${grant} WITH ADMIN OPTION` : grant;
  }
  const word = (value: boolean) => (value ? 'TRUE' : 'FALSE');
  return `${grant} WITH ADMIN ${word(admin)}, INHERIT ${word(inherit)}, SET ${word(set)}`;
}

/** A script for psql that makes those that are missing; no existing role's attributes change. */
export function rolesScript(roles: readonly SavedRole[], serverMajor: number): string {
  const create = roles.map((role) => {
    const missing = `NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(role.name)})`;
    return `SELECT ${literal(createRole(role))} WHERE ${missing} \\gexec`;
  });
  const rest = roles.flatMap((role) => [
    ...setRoleSettings(role),
    ...role.memberOf.map((membership) => grantMembership(role.name, membership, serverMajor)),
  ]);
  return [...create, ...rest.map((statement) => `${statement};`)].join('\n');
}

/** A script for psql that sets, in the database it is connected to, what the roles had set in theirs. */
export function settingsScript(roles: readonly SavedRole[]): string | undefined {
  const lines = roles.flatMap(({ name, databaseSettings = [] }) =>
    databaseSettings.map((setting) => {
      const parts = aroundDatabase(name, setting).map((part) => part.replaceAll('%', '%%'));
      return `SELECT format(${literal(parts.join('%I'))}, current_database()) \\gexec`;
    }),
  );
  return lines.length === 0 ? undefined : lines.join('\n');
}

/** The statement before and after the name of the database. */
function aroundDatabase(role: string, { name, value }: SavedSetting): [string, string] {
  const set = `SET ${ident(name)} TO ${settingValue(name, value)}`;
  return [`ALTER ROLE ${ident(role)} IN DATABASE `, ` ${set}`];
}
