import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import type { PostgresConnection } from '../../config/config.ts';
import { abortedError, throwIfAborted } from '../../runtime/errors.ts';
import { connectError, poolerError } from './connection-errors.ts';
import { mayFallBack, type TlsAttempt, tlsAttempts } from './connection-tls.ts';
import { describeConnection } from './environment.ts';
import { startupOptions } from './quoting.ts';
import { Session } from './session.ts';

export interface ConnectOptions {
  /** Default: the connection's own. */
  readonly database?: string;
  /** After `dropback `: seen in pg_stat_activity, and how recovery finds our own sessions. */
  readonly applicationName: string;
  /** Ends the attempt to connect, and every statement that isn't given a signal of its own. */
  readonly signal: AbortSignal;
  /** Milliseconds; 0 is none. Default: one minute. */
  readonly statementTimeoutMs?: number;
  /** Milliseconds; 0 is none. Default: 10 s. */
  readonly lockTimeoutMs?: number;
  /** Milliseconds; 0 is none. Default: one minute. */
  readonly idleInTransactionMs?: number;
  /** More settings for the start-up options, for example `{ row_security: 'off' }`. */
  readonly options?: Readonly<Record<string, string | number>>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEPALIVE_IDLE_MS = 30_000;

/** The application_name that a session or a client program of ours gets. */
export function ourName(name: string): string {
  return name.startsWith('dropback') ? name : `dropback ${name}`;
}

/**
 * Opens a session of our own. Settings come in its start-up options, where ALTER ROLE and ALTER
 * DATABASE … SET can't reach them; search_path is pg_catalog alone, so that nothing in the database
 * can stand in for what we call.
 *
 * Throws `database/unreachable` (retryable), `database/auth-failed`, `database/missing`,
 * `database/tls-failed`, `database/pooler`, `database/query-failed`, or `run/aborted`.
 */
export async function connect(
  connection: PostgresConnection,
  options: ConnectOptions,
): Promise<Session> {
  const where = describeConnection(connection, options.database);
  const attempts = await tlsAttempts(connection);
  for (const [index, tls] of attempts.entries()) {
    throwIfAborted(options.signal);
    try {
      return await attempt(connection, options, tls, where);
    } catch (error) {
      if (options.signal.aborted) throw abortedError(options.signal);
      if (index === attempts.length - 1 || !mayFallBack(error)) throw connectError(error, where);
    }
  }
  throw new RangeError('there is always one way to connect');
}

async function attempt(
  connection: PostgresConnection,
  options: ConnectOptions,
  tls: TlsAttempt,
  where: string,
): Promise<Session> {
  const nonce = randomBytes(8).toString('hex');
  const client = new Client({
    host: connection.host,
    port: connection.port,
    user: connection.user,
    // A function, because the driver would look into the environment for an undefined one.
    password: () => connection.password ?? '',
    database: options.database ?? connection.database,
    ssl: tls,
    application_name: ourName(options.applicationName),
    options: startupOptions({ ...settings(options), 'dropback.session': nonce }),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_IDLE_MS,
  });
  const session = new Session(client, connection, tls, where, options.signal, timeoutOf(options));
  try {
    await session.open();
    await settle(session, nonce, where);
    return session;
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

function timeoutOf({ statementTimeoutMs = 60_000 }: ConnectOptions): number {
  return statementTimeoutMs;
}

function settings(options: ConnectOptions): Record<string, string | number> {
  return {
    statement_timeout: timeoutOf(options),
    lock_timeout: options.lockTimeoutMs ?? 10_000,
    idle_in_transaction_session_timeout: options.idleInTransactionMs ?? 60_000,
    search_path: 'pg_catalog,pg_temp',
    default_transaction_read_only: 'off',
    default_transaction_isolation: 'read committed',
    DateStyle: 'ISO',
    standard_conforming_strings: 'on',
    tcp_keepalives_idle: 60,
    tcp_keepalives_interval: 15,
    tcp_keepalives_count: 4,
    ...options.options,
  };
}

/**
 * First look at the session: who answers, and whether our start-up options arrived. A pooler that
 * drops them, or hands a statement to another session, doesn't know the number that we just made up.
 */
async function settle(session: Session, nonce: string, where: string): Promise<void> {
  const [row] = await session.query<{
    nonce: string | null;
    version: string;
    number: string;
    pid: number;
  }>(
    `SELECT current_setting('dropback.session', true) AS nonce,
            current_setting('server_version') AS version,
            current_setting('server_version_num') AS number,
            pg_backend_pid() AS pid`,
  );
  if (row?.nonce !== nonce) throw poolerError(where, 'the settings of our session did not arrive');
  session.identify({ version: row.version, number: Number(row.number), backendPid: row.pid });
  // Time-outs that not every version knows can't be start-up options. The last one makes the server
  // notice within seconds that we are gone, even in the middle of a long statement.
  await session.query(
    `SELECT set_config(name, CASE name WHEN 'client_connection_check_interval' THEN '5s' ELSE '0' END, false)
       FROM pg_settings
      WHERE name IN ('idle_session_timeout', 'transaction_timeout')
         OR (name = 'client_connection_check_interval' AND version() LIKE '%linux%')`,
  );
}
