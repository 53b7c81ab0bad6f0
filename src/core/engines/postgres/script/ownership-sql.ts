import { ident } from '../quoting.ts';
import { renderObject } from './object-reference.ts';
import type { OwnershipStatement } from './ownership.ts';
import { type Grantee, type Privilege, renderGrantees, renderPrivileges } from './privileges.ts';

export interface OwnershipSqlOptions {
  /** The role to use for one that the script names; undefined leaves it out. Default: the same. */
  readonly role?: (name: string) => string | undefined;
  /** Leaves out what servers of this major don't know: MAINTAIN, LARGE OBJECTS. */
  readonly serverMajor?: number;
}

export interface OwnershipSql {
  /** Undefined where nothing remains to be done. */
  readonly sql: string | undefined;
  /** Roles (as the script names them) that were left out. */
  readonly leftOut: readonly string[];
  /** The grant was made by this role (already mapped), not by the owner. */
  readonly grantor?: string;
}

/**
 * Builds SQL from parsed values alone: every keyword comes from a fixed list, every identifier is
 * quoted again. A grant to several roles keeps those that are known.
 */
export function ownershipSql(
  statement: OwnershipStatement,
  options: OwnershipSqlOptions = {},
): OwnershipSql {
  const map = options.role ?? ((name: string) => name);
  const leftOut: string[] = [];
  const known = (name: string): string[] => {
    const role = map(name);
    if (role === undefined) leftOut.push(name);
    return role === undefined ? [] : [role];
  };
  if (statement.kind === 'owner') {
    const [role] = known(statement.role);
    const sql = role && `ALTER ${renderObject(statement.object)} OWNER TO ${ident(role)};`;
    return { sql, leftOut };
  }
  const grantees = statement.grantees.flatMap((grantee): Grantee[] =>
    'role' in grantee ? known(grantee.role).map((role) => ({ role })) : [grantee],
  );
  const privileges = privilegesFor(statement.privileges, options.serverMajor);
  const action = actionSql(statement, privileges, grantees);
  const isNothing = grantees.length === 0 || privileges.length === 0;
  if ('object' in statement) {
    const grantor = statement.grantor === undefined ? [] : known(statement.grantor);
    const grantedBy = grantor[0] === undefined ? {} : { grantor: grantor[0] };
    const isOrphan = statement.grantor !== undefined && grantor[0] === undefined;
    return { sql: isNothing || isOrphan ? undefined : `${action};`, leftOut, ...grantedBy };
  }
  const forRoles = statement.forRoles.flatMap(known);
  const isUnknown =
    (statement.forRoles.length > 0 && forRoles.length === 0) ||
    (statement.objects === 'large objects' && (options.serverMajor ?? 99) < 18);
  if (isNothing || isUnknown) return { sql: undefined, leftOut };
  const by = forRoles.length > 0 ? ` FOR ROLE ${forRoles.map(ident).join(', ')}` : '';
  const inSchema = statement.schemas.map(ident).join(', ');
  const within = inSchema === '' ? '' : ` IN SCHEMA ${inSchema}`;
  return { sql: `ALTER DEFAULT PRIVILEGES${by}${within} ${action};`, leftOut };
}

function actionSql(
  statement: Exclude<OwnershipStatement, { kind: 'owner' }>,
  privileges: readonly Privilege[],
  grantees: readonly Grantee[],
): string {
  const target =
    'object' in statement
      ? grantTarget(renderObject(statement.object))
      : statement.objects.toUpperCase();
  const what = `${renderPrivileges(privileges)} ON ${target}`;
  const who = renderGrantees(grantees);
  if (statement.kind === 'grant' || statement.kind === 'default-grant') {
    return `GRANT ${what} TO ${who}${statement.grantOption ? ' WITH GRANT OPTION' : ''}`;
  }
  return `REVOKE ${statement.grantOption ? 'GRANT OPTION FOR ' : ''}${what} FROM ${who}`;
}

/** GRANT has no PROCEDURAL LANGUAGE; every other kind is spelt alike in ALTER and GRANT. */
function grantTarget(object: string): string {
  return object.replace(/^PROCEDURAL LANGUAGE /, 'LANGUAGE ');
}

function privilegesFor(
  privileges: readonly Privilege[],
  serverMajor: number | undefined,
): readonly Privilege[] {
  if (serverMajor === undefined || serverMajor >= 17) return privileges;
  return privileges.filter((privilege) => privilege.name !== 'maintain');
}
