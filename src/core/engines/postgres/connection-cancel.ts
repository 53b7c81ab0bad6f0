import { connect as connectSocket, type Socket } from 'node:net';
import type { PostgresConnection } from '../../config/config.ts';
import type { TlsAttempt } from './connection-tls.ts';

const CANCEL_CODE = 80877102;
const TLS_CODE = 80877103;

/** What the server gave the session at its start, with which anybody may cancel its statement. */
export interface CancelKey {
  readonly processId: number;
  readonly secretKey: number;
}

/**
 * Sends a CancelRequest on a connection of its own, with the session's own kind of transport.
 * Resolves when the server has closed that connection, or after `timeoutMs`; never rejects: whether
 * the statement ended is seen on the session.
 * Source: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 */
export function cancelStatement(
  connection: PostgresConnection,
  tls: TlsAttempt,
  key: CancelKey,
  timeoutMs: number,
): Promise<void> {
  const { host, port } = connection;
  const socket = host.startsWith('/')
    ? connectSocket(`${host}/.s.PGSQL.${port}`)
    : connectSocket(port, host);
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    socket.on('error', done);
    socket.on('close', done);
    socket.once('connect', () => {
      if (tls) upgrade(socket, host, tls, key, done);
      else socket.write(cancelMessage(key));
    });
  });
}

function upgrade(
  socket: Socket,
  host: string,
  tls: Exclude<TlsAttempt, false>,
  key: CancelKey,
  done: () => void,
): void {
  socket.write(message(TLS_CODE, []));
  socket.once('data', (answer) => {
    if (answer.toString('latin1') !== 'S') return done();
    // An import would load it for those that have no TLS, too.
    const { connect } = process.getBuiltinModule('node:tls');
    const secure = connect({ ...tls, socket, host }, () => secure.write(cancelMessage(key)));
    secure.on('error', done);
    secure.on('close', done);
  });
}

function cancelMessage(key: CancelKey): Buffer {
  return message(CANCEL_CODE, [key.processId, key.secretKey]);
}

function message(code: number, values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(8 + 4 * values.length);
  buffer.writeInt32BE(buffer.length, 0);
  buffer.writeInt32BE(code, 4);
  for (const [index, value] of values.entries()) buffer.writeInt32BE(value, 8 + 4 * index);
  return buffer;
}
