import { type ObjectReference, readObject } from './object-reference.ts';
import type { Grantee, Privilege } from './privileges.ts';
import { readGrantees, readPrivileges, readRole } from './privileges.ts';
import { StatementReader } from './reader.ts';

const DEFAULT_OBJECTS = [
  'large objects',
  'tables',
  'sequences',
  'functions',
  'routines',
  'types',
  'schemas',
] as const;

export type DefaultObjects = (typeof DEFAULT_OBJECTS)[number];

interface GrantParts {
  readonly privileges: readonly Privilege[];
  readonly grantees: readonly Grantee[];
  /** GRANT: WITH GRANT OPTION. REVOKE: GRANT OPTION FOR. */
  readonly grantOption: boolean;
}

/** Who owns what and who may do what, as values; nothing of the script's text is in them. */
export type OwnershipStatement =
  | { readonly kind: 'owner'; readonly object: ObjectReference; readonly role: string }
  | (GrantParts & {
      readonly kind: 'grant' | 'revoke';
      readonly object: ObjectReference;
      /** GRANTED BY, or the role that SET SESSION AUTHORIZATION had named. */
      readonly grantor?: string;
    })
  | (GrantParts & {
      readonly kind: 'default-grant' | 'default-revoke';
      readonly forRoles: readonly string[];
      readonly schemas: readonly string[];
      readonly objects: DefaultObjects;
    });

export interface OwnershipContext {
  /** Latin-1 text (one character a byte) to what the script's encoding means; may throw. */
  readonly decode: (text: string) => string;
  /** Schema of unqualified names; set by the search_path of dumps older than 10.3. */
  readonly defaultSchema?: string | undefined;
  /** The role that SET SESSION AUTHORIZATION has named. */
  readonly grantor?: string | undefined;
}

/**
 * Parses one statement exactly; undefined for whatever isn't one of pg_dump's own
 * `ALTER … OWNER TO`, `GRANT`, `REVOKE`, `ALTER DEFAULT PRIVILEGES`.
 */
export function parseOwnership(
  statement: Buffer,
  context: OwnershipContext,
): OwnershipStatement | undefined {
  try {
    const reader = new StatementReader(statement, context.decode);
    const parsed = readStatement(reader, context);
    return parsed && reader.atEnd ? parsed : undefined;
  } catch (error) {
    // A name that means nothing in the script's encoding.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function readStatement(
  reader: StatementReader,
  context: OwnershipContext,
): OwnershipStatement | undefined {
  if (reader.words('alter', 'default', 'privileges')) return readDefault(reader);
  if (reader.words('alter')) return readOwner(reader, context);
  const parts = readGrantHead(reader);
  if (!parts) return undefined;
  const object = readGrantObject(reader, context);
  if (!object) return undefined;
  const tail = readGrantTail(reader, parts);
  if (!tail) return undefined;
  const grantedBy = reader.words('granted', 'by') ? readRole(reader) : context.grantor;
  const { isGrant, ...values } = tail;
  const kind = isGrant ? 'grant' : 'revoke';
  return { kind, object, ...values, ...(grantedBy === undefined ? {} : { grantor: grantedBy }) };
}

function readOwner(
  reader: StatementReader,
  context: OwnershipContext,
): OwnershipStatement | undefined {
  const object = readObject(reader, context.defaultSchema);
  if (!object || !reader.words('owner', 'to')) return undefined;
  const role = readRole(reader);
  return role === undefined ? undefined : { kind: 'owner', object, role };
}

/** `ON [kind] object`; a bare name is a table. */
function readGrantObject(
  reader: StatementReader,
  context: OwnershipContext,
): ObjectReference | undefined {
  if (!reader.words('on')) return undefined;
  const start = reader.position;
  const object = readObject(reader, context.defaultSchema);
  if (object) return object;
  reader.rewind(start);
  const name = reader.qualifiedName();
  const schema = name?.schema ?? context.defaultSchema;
  if (!name || schema === undefined) return undefined;
  return { kind: 'table', schema, name: name.name };
}

function readDefault(reader: StatementReader): OwnershipStatement | undefined {
  const forRoles =
    reader.words('for', 'role') || reader.words('for', 'user') ? readRoles(reader) : [];
  const schemas = reader.words('in', 'schema') ? readNames(reader) : [];
  if (!forRoles || !schemas) return undefined;
  const parts = readGrantHead(reader);
  if (!parts || !reader.words('on')) return undefined;
  const objects = reader.oneOf(DEFAULT_OBJECTS);
  if (objects === undefined) return undefined;
  const tail = readGrantTail(reader, parts);
  if (!tail) return undefined;
  const { isGrant, ...values } = tail;
  const kind = isGrant ? 'default-grant' : 'default-revoke';
  return { kind, forRoles, schemas, objects, ...values };
}

interface GrantHead {
  readonly isGrant: boolean;
  readonly privileges: readonly Privilege[];
  readonly grantOption: boolean;
}

function readGrantHead(reader: StatementReader): GrantHead | undefined {
  const isGrant = reader.words('grant');
  if (!isGrant && !reader.words('revoke')) return undefined;
  const grantOption = !isGrant && reader.words('grant', 'option', 'for');
  const privileges = readPrivileges(reader);
  return privileges && { isGrant, privileges, grantOption };
}

function readGrantTail(
  reader: StatementReader,
  head: GrantHead,
): (GrantHead & { grantees: Grantee[] }) | undefined {
  if (!reader.words(head.isGrant ? 'to' : 'from')) return undefined;
  const grantees = readGrantees(reader);
  if (!grantees) return undefined;
  const withOption = head.isGrant && reader.words('with', 'grant', 'option');
  return { ...head, grantees, grantOption: head.grantOption || withOption };
}

function readRoles(reader: StatementReader): string[] | undefined {
  return readList(reader, () => readRole(reader));
}

function readNames(reader: StatementReader): string[] | undefined {
  return readList(reader, () => reader.identifier());
}

function readList(reader: StatementReader, read: () => string | undefined): string[] | undefined {
  const found: string[] = [];
  do {
    const name = read();
    if (name === undefined) return undefined;
    found.push(name);
  } while (reader.symbol(','));
  return found;
}
