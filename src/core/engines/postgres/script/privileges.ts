import { ident } from '../quoting.ts';
import type { StatementReader } from './reader.ts';

const PRIVILEGES = [
  'alter system',
  'all privileges',
  'all',
  'select',
  'insert',
  'update',
  'delete',
  'truncate',
  'references',
  'trigger',
  'maintain',
  'usage',
  'execute',
  'create',
  'connect',
  'temporary',
  'temp',
  'set',
] as const;

export type PrivilegeName = (typeof PRIVILEGES)[number];

export interface Privilege {
  readonly name: PrivilegeName;
  /** Column names; absent for the whole object. */
  readonly columns?: readonly string[];
}

/** `public` is the pseudo-role; a role can't have that name. */
export type Grantee = { readonly public: true } | { readonly role: string };

/** Names that stand for whoever runs the statement: never what a dump means. */
const SELF = new Set(['current_user', 'session_user', 'current_role', 'user', 'none']);

export function readRole(reader: StatementReader): string | undefined {
  const token = reader.peek();
  if (token?.type === 'word' && (SELF.has(token.text) || token.text === 'public')) return undefined;
  return reader.identifier();
}

export function readGrantees(reader: StatementReader): Grantee[] | undefined {
  const found: Grantee[] = [];
  do {
    if (reader.words('public')) {
      found.push({ public: true });
      continue;
    }
    reader.words('group');
    const role = readRole(reader);
    if (role === undefined) return undefined;
    found.push({ role });
  } while (reader.symbol(','));
  return found;
}

export function renderGrantees(grantees: readonly Grantee[]): string {
  return grantees.map((grantee) => ('role' in grantee ? ident(grantee.role) : 'PUBLIC')).join(', ');
}

export function readPrivileges(reader: StatementReader): Privilege[] | undefined {
  const found: Privilege[] = [];
  do {
    const name = reader.oneOf(PRIVILEGES);
    if (name === undefined) return undefined;
    const columns = reader.symbol('(') ? readColumns(reader) : [];
    if (!columns) return undefined;
    found.push(columns.length > 0 ? { name, columns } : { name });
  } while (reader.symbol(','));
  return found;
}

export function renderPrivileges(privileges: readonly Privilege[]): string {
  return privileges
    .map(({ name, columns }) => {
      const list = columns ? ` (${columns.map(ident).join(', ')})` : '';
      return `${name.toUpperCase()}${list}`;
    })
    .join(', ');
}

/** Behind the opening parenthesis; takes the closing one. */
function readColumns(reader: StatementReader): string[] | undefined {
  const columns: string[] = [];
  do {
    const column = reader.identifier();
    if (column === undefined) return undefined;
    columns.push(column);
  } while (reader.symbol(','));
  return reader.symbol(')') ? columns : undefined;
}
