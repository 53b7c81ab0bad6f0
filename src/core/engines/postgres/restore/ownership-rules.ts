import type { ObjectKind, ObjectReference } from '../script/object-reference.ts';
import type { OwnershipStatement } from '../script/ownership.ts';
import type { Session } from '../session.ts';

/** Kinds that reach beyond the staging database, or that only superusers hand out. */
const BEYOND: ReadonlySet<ObjectKind> = new Set<ObjectKind>([
  'database',
  'tablespace',
  'parameter',
  'procedural language',
  'language',
  'foreign data wrapper',
  'foreign server',
  'server',
  'subscription',
  'event trigger',
]);

/** Attributes aren't inherited; the rights of these are, and reach beyond the database. */
const INHERITED = [
  'pg_execute_server_program',
  'pg_read_server_files',
  'pg_write_server_files',
  'pg_signal_backend',
  'pg_checkpoint',
  'pg_create_subscription',
];

/**
 * What control will do for a foreign file. It is perhaps a superuser, so the objects must be the
 * file's own: none of PostgreSQL's or of an extension (whose C functions must not change hands), and
 * nothing may come to belong to a privileged role other than the owner, since the server runs index
 * expressions as who owns the table. What the file says of the live owner is true of its heir already.
 */
export interface OwnershipRules {
  /** Roles that the server knows. */
  readonly roles: ReadonlyMap<string, { readonly isPrivileged: boolean }>;
  /** Owner of the live database. */
  readonly owner: string;
  /** `schema.name` of what extensions brought, as JSON arrays. */
  readonly extensionMembers: ReadonlySet<string>;
}

export async function readOwnershipRules(
  inStaging: Session,
  owner: string,
): Promise<OwnershipRules> {
  const roles = await inStaging.query<{ name: string; privileged: boolean }>(
    `SELECT rolname AS name,
            rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls OR rolname ~ '^pg_'
            OR EXISTS (SELECT FROM pg_roles p WHERE p.rolname = ANY ($1::text[])
                          AND pg_has_role(r.oid, p.oid, 'USAGE')) AS privileged
       FROM pg_roles r`,
    [INHERITED],
  );
  const members = await inStaging.query<{ names: string[] }>(
    `SELECT a.object_names AS names
       FROM pg_depend d,
            LATERAL pg_identify_object_as_address(d.classid, d.objid, d.objsubid) a
      WHERE d.deptype = 'e'`,
  );
  return {
    owner,
    roles: new Map(roles.map(({ name, privileged }) => [name, { isPrivileged: privileged }])),
    extensionMembers: new Set(members.map(({ names }) => JSON.stringify(names))),
  };
}

/** Why control leaves a statement alone; undefined where it may do it. */
export function objection(
  statement: OwnershipStatement,
  rules: OwnershipRules,
): string | undefined {
  if ('object' in statement) {
    const about = objectObjection(statement.object, rules);
    if (about !== undefined) return about;
  }
  if (statement.kind === 'owner') return roleObjection('would own it', statement.role, rules);
  if ('grantor' in statement && statement.grantor !== undefined) {
    return roleObjection('granted it', statement.grantor, rules);
  }
  return undefined;
}

function objectObjection(object: ObjectReference, rules: OwnershipRules): string | undefined {
  if (BEYOND.has(object.kind)) return `a ${object.kind} is not the file's own`;
  const schema = schemaOf(object);
  if (schema !== undefined && /^(pg_|information_schema$)/.test(schema)) {
    return `it is in ${schema}`;
  }
  return rules.extensionMembers.has(JSON.stringify(namesOf(object)))
    ? 'it belongs to an extension'
    : undefined;
}

function roleObjection(what: string, role: string, rules: OwnershipRules): string | undefined {
  if (role === rules.owner) return undefined;
  // Roles that nobody knows are told apart, by the list of what was left out.
  return rules.roles.get(role)?.isPrivileged
    ? `the role ${role}, which ${what}, is privileged`
    : undefined;
}

function schemaOf(object: ObjectReference): string | undefined {
  if ('schema' in object) return object.schema;
  return object.kind === 'schema' ? object.name : undefined;
}

function namesOf(object: ObjectReference): string[] {
  if ('oid' in object) return [object.oid];
  if (object.kind === 'operator') return [object.schema, object.symbol];
  return 'schema' in object ? [object.schema, object.name] : [object.name];
}
