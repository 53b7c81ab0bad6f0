import type { SslMode } from './config.ts';

/** What a URL says, before the gaps are filled from libpq's variables. */
export type ParsedUrl =
  | {
      readonly kind: 'postgres';
      readonly parts: PostgresParts;
      readonly warnings: readonly string[];
    }
  | { readonly kind: 'sqlite'; readonly path: string; readonly warnings: readonly string[] };

/** Each part as text, decoded; undefined where it wasn't given. */
export interface PostgresParts {
  host?: string;
  port?: string;
  user?: string;
  password?: string;
  database?: string;
  sslMode?: string;
  sslRootCert?: string;
  sslCert?: string;
  sslKey?: string;
}

/** What is wrong with a URL; never repeats a part of it (it may hold a password). */
export class UrlRefusal extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export const sslModes = [
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
] as const satisfies SslMode[];

const ENCODE =
  'percent-encode special characters in user and password: @ is %40, : %3A, / %2F, ? %3F, % %25.';
const EXAMPLE = 'for example postgresql://app:secret@db:5432/app or sqlite:////data/app.db.';

/**
 * postgresql://, postgres:// and sqlite:// URLs, SQLAlchemy's `+driver` suffixes included. Grammar:
 * libpq's (PostgreSQL manual, "Connection URIs"), one host; SQLAlchemy's slashes for SQLite: three
 * for a relative path, four for an absolute one.
 */
export function parseDatabaseUrl(text: string): ParsedUrl {
  const [, scheme, rest] =
    /^([a-z][a-z0-9.-]*)(?:\+[a-z0-9_]+)?:\/\/(.*)$/is.exec(text.trim()) ?? [];
  if (scheme === undefined || rest === undefined) {
    throw new UrlRefusal('is not a URL', `write a URL, ${EXAMPLE}`);
  }
  if (hasControlCharacter(rest)) {
    throw new UrlRefusal('holds a control character', 'look for a stray newline or tab in it.');
  }
  switch (scheme.toLowerCase()) {
    case 'postgresql':
    case 'postgres':
      return parsePostgres(rest);
    case 'sqlite':
    case 'sqlite3':
      return parseSqlite(rest);
    default:
      throw new UrlRefusal(
        'is the URL of another kind of database',
        `dropback backs up PostgreSQL and SQLite: ${EXAMPLE}`,
      );
  }
}

function parsePostgres(rest: string): ParsedUrl {
  const end = rest.search(/[/?]/);
  const authority = end === -1 ? rest : rest.slice(0, end);
  const tail = end === -1 ? '' : rest.slice(end);
  // A raw / or ? in the password ends the authority early: better refused than misread.
  if (!authority.includes('@') && tail.includes('@')) {
    throw new UrlRefusal('has an @ after its first / or ?', ENCODE);
  }
  const at = authority.lastIndexOf('@');
  const parts: PostgresParts = at === -1 ? {} : credentials(authority.slice(0, at));
  Object.assign(parts, hostAndPort(authority.slice(at + 1)));

  const question = tail.indexOf('?');
  const path = question === -1 ? tail : tail.slice(0, question);
  if (path.slice(1).includes('/')) {
    throw new UrlRefusal('has more than one / after its host', ENCODE);
  }
  assignIfSet(parts, 'database', decoded(path.slice(1)));
  const warnings = question === -1 ? [] : applyParameters(parts, tail.slice(question + 1));
  return { kind: 'postgres', parts, warnings };
}

function credentials(text: string): PostgresParts {
  const colon = text.indexOf(':');
  const parts: PostgresParts = {};
  assignIfSet(parts, 'user', decoded(colon === -1 ? text : text.slice(0, colon)));
  if (colon !== -1) assignIfSet(parts, 'password', decoded(text.slice(colon + 1)));
  return parts;
}

function hostAndPort(text: string): PostgresParts {
  if (text.includes(',')) {
    throw new UrlRefusal('names several hosts', 'give the address of the one primary server.');
  }
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(text);
  if (!match) {
    throw new UrlRefusal(
      'has a host or port that cannot be read',
      `write host:port, an IPv6 address in brackets. ${ENCODE}`,
    );
  }
  const parts: PostgresParts = {};
  assignIfSet(parts, 'host', decoded(match[1] ?? match[2] ?? ''));
  assignIfSet(parts, 'port', match[3] ?? '');
  return parts;
}

const parameters: Readonly<Record<string, keyof PostgresParts>> = {
  host: 'host',
  port: 'port',
  user: 'user',
  password: 'password',
  dbname: 'database',
  sslmode: 'sslMode',
  // asyncpg's and node-postgres' name for it.
  ssl: 'sslMode',
  sslrootcert: 'sslRootCert',
  sslcert: 'sslCert',
  sslkey: 'sslKey',
};

/** Harmless where they are left out: every connection here sets its own. */
const silentlyLeftOut = new Set([
  'application_name',
  'fallback_application_name',
  'connect_timeout',
]);

/** libpq: a parameter overrides the part of the URL before it. Returns warnings. */
function applyParameters(parts: PostgresParts, query: string): string[] {
  const warnings: string[] = [];
  for (const pair of query.split('&').filter((text) => text !== '')) {
    const equals = pair.indexOf('=');
    const name = decoded(equals === -1 ? pair : pair.slice(0, equals));
    const text = equals === -1 ? '' : decoded(pair.slice(equals + 1));
    const part = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    if (part) assignIfSet(parts, part, name === 'ssl' ? sslModeOf(text) : text);
    else if (!silentlyLeftOut.has(name)) warnings.push(leftOut(name));
  }
  return warnings;
}

function sslModeOf(text: string): string {
  if (/^(true|1)$/i.test(text)) return 'require';
  return /^(false|0)$/i.test(text) ? 'disable' : text;
}

function leftOut(name: string): string {
  // Whatever doesn't look like a name may be a piece of a password.
  const shown = /^[a-z_]{1,40}$/i.test(name) ? `the parameter ${name}` : 'a parameter';
  return `${shown} of the URL is not used`;
}

function parseSqlite(rest: string): ParsedUrl {
  const [beforeQuery = ''] = rest.split('?', 1);
  if (!beforeQuery.startsWith('/')) {
    throw new UrlRefusal(
      'has a host where SQLite has none',
      'write sqlite:////absolute/path.db (four slashes) or sqlite:///relative.db (three).',
    );
  }
  const path = decodedWherePossible(beforeQuery.slice(1));
  if (path === '' || path === ':memory:' || path.startsWith('file:') || path.endsWith('/')) {
    throw new UrlRefusal(
      'does not name a database file',
      'write the path of a file: sqlite:////absolute/path.db or sqlite:///relative.db.',
    );
  }
  return { kind: 'sqlite', path, warnings: [] };
}

function decoded(text: string): string {
  let result: string;
  try {
    result = decodeURIComponent(text);
  } catch {
    throw new UrlRefusal('has a % that begins no valid percent-encoding', ENCODE);
  }
  if (hasControlCharacter(result)) {
    throw new UrlRefusal('holds an encoded control character', 'look for %00 or %0A in it.');
  }
  return result;
}

/** File names may hold a bare %, which SQLAlchemy takes as it stands. */
function decodedWherePossible(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

function assignIfSet(parts: PostgresParts, part: keyof PostgresParts, text: string): void {
  if (text !== '') parts[part] = text;
}
