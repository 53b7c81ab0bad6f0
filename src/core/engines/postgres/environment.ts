import type { PostgresConnection } from '../../config/config.ts';
import { startupOptions } from './quoting.ts';

export interface EnvironmentOptions {
  /** Default: the connection's own. Given as PGDATABASE, which libpq never takes for a conninfo. */
  readonly database?: string;
  /** Shown in pg_stat_activity; begins with `dropback`. */
  readonly applicationName: string;
  /** Settings for the whole session, as start-up options. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** Seconds that a client program may take to connect, as our own sessions do. */
const CONNECT_TIMEOUT_SECONDS = 10;

/**
 * The libpq variables with which a client program reaches the server: everything, the password
 * included, goes this way and never into an argument list. Files of the user's own (.pgpass,
 * services) are shut out, so that the program connects exactly as we do.
 */
export function libpqEnvironment(
  connection: PostgresConnection,
  options: EnvironmentOptions,
): Record<string, string> {
  const environment: Record<string, string> = {
    PGHOST: connection.host,
    PGPORT: String(connection.port),
    PGUSER: connection.user,
    PGDATABASE: options.database ?? connection.database,
    PGSSLMODE: connection.sslMode,
    PGGSSENCMODE: 'disable',
    PGAPPNAME: options.applicationName,
    PGCONNECT_TIMEOUT: String(CONNECT_TIMEOUT_SECONDS),
    PGPASSFILE: '/nonexistent/.pgpass',
  };
  if (connection.password !== undefined) environment['PGPASSWORD'] = connection.password;
  if (connection.sslRootCert !== undefined) environment['PGSSLROOTCERT'] = connection.sslRootCert;
  if (connection.sslCert !== undefined) environment['PGSSLCERT'] = connection.sslCert;
  if (connection.sslKey !== undefined) environment['PGSSLKEY'] = connection.sslKey;
  const { settings } = options;
  if (settings && Object.keys(settings).length > 0) {
    environment['PGOPTIONS'] = startupOptions(settings);
  }
  return environment;
}

/** For messages, without the password: `postgresql://app@db:5432/app`. */
export function describeConnection(connection: PostgresConnection, database?: string): string {
  const { host, port } = connection;
  const place = host.startsWith('/') || host.includes(':') ? `[${host}]` : host;
  const user = encodeURIComponent(connection.user);
  return `postgresql://${user}@${place}:${port}/${encodeURIComponent(database ?? connection.database)}`;
}
