import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import type { PostgresConnection } from '../../config/config.ts';
import { DropbackError, messageOf } from '../../runtime/errors.ts';
import { isTlsFailure, sqlState } from './connection-errors.ts';

/** One way to connect: without TLS, or with these options. */
export type TlsAttempt = false | ConnectionOptions;

/**
 * The ways to try, in libpq's order: `prefer` falls back to no TLS, `allow` the other way round.
 * Not left to the driver, whose `prefer` and `require` mean something else.
 * Source: https://www.postgresql.org/docs/current/libpq-ssl.html
 */
export async function tlsAttempts(connection: PostgresConnection): Promise<TlsAttempt[]> {
  // A Unix socket has no TLS, whatever sslmode says (libpq ignores it there, too).
  if (connection.host.startsWith('/') || connection.sslMode === 'disable') return [false];
  const tls = await tlsOptions(connection);
  if (connection.sslMode === 'allow') return [false, tls];
  if (connection.sslMode === 'prefer') return [tls, false];
  return [tls];
}

/** Whether the next attempt may help: the server or its pg_hba.conf refused this kind of transport. */
export function mayFallBack(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined ? isTlsFailure(error) : state === '28000';
}

async function tlsOptions(connection: PostgresConnection): Promise<ConnectionOptions> {
  const { sslMode, sslRootCert, sslCert, sslKey } = connection;
  const isSystem = sslRootCert === 'system';
  const mustVerify = sslMode === 'verify-ca' || sslMode === 'verify-full';
  if (mustVerify && sslRootCert === undefined) {
    throw new DropbackError(
      'database/tls-failed',
      `sslmode=${sslMode} needs a CA to check against`,
      {
        hint: 'set sslrootcert to the CA bundle of the server, or to "system".',
      },
    );
  }
  const options: ConnectionOptions = { minVersion: 'TLSv1.2' };
  if (sslRootCert !== undefined && !isSystem) options.ca = await pem(sslRootCert, 'sslrootcert');
  if (sslCert !== undefined) options.cert = await pem(sslCert, 'sslcert');
  if (sslKey !== undefined) options.key = await pem(sslKey, 'sslkey');
  // As libpq: where a CA is given the chain is checked in every mode; the name in verify-full alone
  // (and with the system's CAs, which vouch for anybody).
  options.rejectUnauthorized = sslRootCert !== undefined;
  if (sslMode !== 'verify-full' && !isSystem) options.checkServerIdentity = () => undefined;
  return options;
}

async function pem(path: string, variable: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new DropbackError('database/tls-failed', `${variable}: ${messageOf(error)}`, {
      hint: 'the file must exist and be readable by the user that the daemon runs as.',
      facts: { path },
      cause: error,
    });
  }
}
