import type { DatabaseConfig, PostgresConnection, SslMode } from './config.ts';
import {
  type ParsedUrl,
  type PostgresParts,
  parseDatabaseUrl,
  sslModes,
  UrlRefusal,
} from './database-url.ts';
import type { Environment } from './environment.ts';
import { readIfSet } from './reader.ts';
import { matching } from './values.ts';
import type { VariableName } from './variables.ts';

/** Where libpq of Debian's packages looks for the server when no host is given. */
const SOCKET_FOLDER = '/var/run/postgresql';

/** The database that the daemon is for; undefined where a problem was noted. */
export function readDatabase(environment: Environment): DatabaseConfig | undefined {
  const url = readUrl(environment, 'DATABASE_URL');
  if (url === 'refused') return undefined;
  if (url?.kind === 'sqlite') return { kind: 'sqlite', path: environment.path(url.path) };
  const parts = url
    ? { ...libpqParts(environment), ...url.parts }
    : partsFromVariables(environment);
  if (!parts) {
    environment.problem(
      'DATABASE_URL',
      'is not set',
      'set it, for example to postgresql://app:secret@db:5432/app or sqlite:////data/app.db; or set PGHOST, PGUSER, PGPASSWORD and PGDATABASE.',
    );
    return undefined;
  }
  const connection = connectionOf(environment, parts, (part) => {
    if (url?.kind === 'postgres' && (url.parts[part] !== undefined || part === 'user'))
      return 'DATABASE_URL';
    const isImage = environment.get(libpq[part]) === undefined && part === 'port';
    return isImage ? 'POSTGRES_PORT' : libpq[part];
  });
  if (!connection) return undefined;
  return {
    kind: 'postgres',
    connection,
    maintenanceDatabase: maintenance(environment, connection),
  };
}

/** A further identity on the same server: what its URL leaves out is as in DATABASE_URL. */
export function readIdentity(
  environment: Environment,
  name: 'RESTORE_ADMIN_URL' | 'RESTORE_LOAD_URL',
  database: DatabaseConfig | undefined,
): PostgresConnection | undefined {
  const url = readUrl(environment, name);
  if (url === undefined || url === 'refused' || database === undefined) return undefined;
  if (url.kind === 'sqlite' || database.kind === 'sqlite') {
    environment.problem(name, 'is only for PostgreSQL', 'remove it, or set a postgresql:// URL.');
    return undefined;
  }
  const { user: _user, password: _password, port, ...live } = database.connection;
  const parts: PostgresParts = { ...live, port: String(port), ...url.parts };
  const identity = connectionOf(environment, parts, () => name);
  if (identity && (identity.host !== live.host || identity.port !== port)) {
    environment.warn(
      `${name} names another server address than the database's: both must be one server`,
    );
  }
  return identity;
}

/**
 * BACKUP_VERIFY_URL, another server: user and password are those of DATABASE_URL where it names
 * none, the database through which it is entered is `postgres`.
 */
export function readVerifyConnection(
  environment: Environment,
  database: DatabaseConfig | undefined,
): PostgresConnection | undefined {
  const name = 'BACKUP_VERIFY_URL';
  const url = readUrl(environment, name);
  if (url === undefined || url === 'refused' || database === undefined) return undefined;
  if (url.kind === 'sqlite' || database.kind === 'sqlite') {
    environment.problem(name, 'is only for PostgreSQL', 'remove it, or set a postgresql:// URL.');
    return undefined;
  }
  const { user, password, sslMode } = database.connection;
  const login = url.parts.user === undefined ? { user, ...(password ? { password } : {}) } : {};
  const parts: PostgresParts = { sslMode, database: 'postgres', ...login, ...url.parts };
  return connectionOf(environment, parts, () => name);
}

function readUrl(environment: Environment, name: VariableName): ParsedUrl | 'refused' | undefined {
  const text = environment.get(name);
  if (text === undefined) return undefined;
  try {
    const url = parseDatabaseUrl(text);
    for (const warning of url.warnings) environment.warn(`${name}: ${warning}`);
    return url;
  } catch (error) {
    if (!(error instanceof UrlRefusal)) throw error;
    environment.problem(name, error.message, error.hint);
    return 'refused';
  }
}

const libpq: Readonly<Record<keyof PostgresParts, VariableName>> = {
  host: 'PGHOST',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  database: 'PGDATABASE',
  sslMode: 'PGSSLMODE',
  sslRootCert: 'PGSSLROOTCERT',
  sslCert: 'PGSSLCERT',
  sslKey: 'PGSSLKEY',
};

function libpqParts(environment: Environment): PostgresParts {
  const parts: PostgresParts = {};
  for (const [part, name] of Object.entries(libpq) as [keyof PostgresParts, VariableName][]) {
    const text = environment.get(name);
    if (text !== undefined) parts[part] = text;
  }
  return parts;
}

/** Without a URL: libpq's variables, or the official image's; undefined where there are neither. */
function partsFromVariables(environment: Environment): PostgresParts | undefined {
  const parts = libpqParts(environment);
  if (parts.host ?? parts.user ?? parts.database) return parts;
  const image = (
    ['POSTGRES_HOST', 'POSTGRES_USER', 'POSTGRES_DB', 'POSTGRES_PASSWORD'] as const
  ).map((name) => environment.get(name));
  if (image.every((text) => text === undefined)) return undefined;
  const [host, user = 'postgres', database, password] = image;
  if (host === undefined) {
    environment.problem(
      'POSTGRES_HOST',
      'is not set, though other POSTGRES_ variables are',
      'set it to the name of the database service, for example db; or set DATABASE_URL.',
    );
  }
  const port = environment.get('POSTGRES_PORT');
  return {
    ...parts,
    host: host ?? 'db',
    user,
    ...(port === undefined ? {} : { port }),
    ...(database === undefined ? {} : { database }),
    ...(password === undefined ? {} : { password }),
  };
}

/** The variable that a part came from, or that it is missing in. */
type Origin = (part: keyof PostgresParts) => VariableName;

function connectionOf(
  environment: Environment,
  parts: PostgresParts,
  origin: Origin,
): PostgresConnection | undefined {
  const { host = SOCKET_FOLDER, port = '5432', user, password, sslMode = 'prefer' } = parts;
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  const before = environment.problems.length;
  if (number < 1 || number > 65535) {
    environment.problem(
      origin('port'),
      'has a port that is not from 1 to 65535',
      'correct the port.',
    );
  }
  if (user === undefined) {
    environment.problem(
      origin('user'),
      'does not say which user to connect as',
      'add the user to it, or set PGUSER.',
    );
  }
  const mode = sslModes.find((known) => known === sslMode);
  if (mode === undefined) {
    environment.problem(
      origin('sslMode'),
      'has an unknown sslmode',
      `write one of ${sslModes.join(', ')}.`,
    );
  }
  checkCertificates(environment, parts, mode, origin);
  if (environment.problems.length > before || user === undefined || mode === undefined) {
    return undefined;
  }
  return {
    host,
    port: number,
    user,
    ...(password === undefined ? {} : { password }),
    // As libpq does.
    database: parts.database ?? user,
    sslMode: mode,
    ...(parts.sslRootCert === undefined ? {} : { sslRootCert: parts.sslRootCert }),
    ...(parts.sslCert === undefined ? {} : { sslCert: parts.sslCert }),
    ...(parts.sslKey === undefined ? {} : { sslKey: parts.sslKey }),
  };
}

function checkCertificates(
  environment: Environment,
  parts: PostgresParts,
  mode: SslMode | undefined,
  origin: Origin,
): void {
  for (const part of ['sslRootCert', 'sslCert', 'sslKey'] as const) {
    const file = parts[part];
    if (file === undefined || (part === 'sslRootCert' && file === 'system')) continue;
    if (file.startsWith('/') && environment.host.readable(file)) continue;
    environment.problem(
      origin(part),
      `has an ${part.toLowerCase()} that is not the absolute path of a readable file`,
      'check the path, and that the file is mounted into this container.',
    );
  }
  if (mode?.startsWith('verify-') && parts.sslRootCert === undefined) {
    environment.problem(
      origin('sslMode'),
      `has sslmode ${mode} without a CA to check against`,
      'add sslrootcert=/path/to/ca.pem (or set PGSSLROOTCERT).',
    );
  }
  if ((parts.sslCert === undefined) !== (parts.sslKey === undefined)) {
    const [set, missing] = parts.sslCert
      ? (['sslCert', 'sslKey'] as const)
      : (['sslKey', 'sslCert'] as const);
    environment.problem(
      origin(set),
      `has an ${set.toLowerCase()} without an ${missing.toLowerCase()}`,
      'set both or none.',
    );
  }
}

const databaseName = matching(
  /^[^\p{Cc}]{1,63}$/u,
  'must be the name of a database',
  'write the name of a database that exists, for example postgres.',
);

/** A session in the live database would block the swap, so the two may not be the same. */
function maintenance(environment: Environment, connection: PostgresConnection): string {
  const asked = readIfSet(environment, 'RESTORE_MAINTENANCE_DB', databaseName);
  if (asked === undefined) return connection.database === 'postgres' ? 'template1' : 'postgres';
  if (asked === connection.database) {
    environment.problem(
      'RESTORE_MAINTENANCE_DB',
      'is the live database itself',
      'name another database on that server, for example postgres or template1.',
    );
  }
  return asked;
}
