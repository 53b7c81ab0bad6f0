import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Statement {
  readonly text: string;
  /** Of the daemon's own sessions; else of a program like pg_restore. */
  readonly isOurs: boolean;
}

/**
 * Told of each statement before it goes to the server (`before`) and right after it was sent there
 * (`sent`). While `before` has not settled, the statement and whatever follows it (the end of the
 * connection too) are held back, as a slow network would; false keeps it back for ever.
 */
export interface StatementWatch {
  before(statement: Statement): boolean | Promise<boolean>;
  sent(statement: Statement): void;
}

const HAS_NO_TYPE = 8;

/** Stands between clients and a PostgreSQL server, and sees each statement on the wire. */
export class SqlProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(
    target: { readonly host: string; readonly port: number },
    watch: StatementWatch,
  ): Promise<SqlProxy> {
    const server = createServer();
    const proxy = new SqlProxy(server);
    server.on('connection', (client) => proxy.#join(client, target, watch));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #join(client: Socket, target: { host: string; port: number }, watch: StatementWatch): void {
    const upstream = connect(target.port, target.host);
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    }
    // The other direction ends in order: the end of the client comes to the server after whatever
    // is still held back.
    upstream.on('close', () => client.destroy());
    upstream.pipe(client, { end: false });
    void forward(client, upstream, watch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function forward(client: Socket, upstream: Socket, watch: StatementWatch): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  let isOurs: boolean | undefined;
  try {
    for await (const chunk of client as AsyncIterable<Buffer>) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let size = sizeOf(rest, isOurs); rest.length >= size; size = sizeOf(rest, isOurs)) {
        const message = rest.subarray(0, size);
        rest = rest.subarray(size);
        if (isOurs === undefined) {
          // Requests for encryption and for cancelling come before the start-up message.
          if (message.readInt32BE(4) >>> 16 === 3) isOurs = message.includes('dropback.session');
          upstream.write(message);
          continue;
        }
        const text = statementIn(message);
        if (text === undefined) {
          upstream.write(message);
          continue;
        }
        const statement = { text, isOurs };
        if (!(await watch.before(statement))) return void client.destroy();
        await new Promise((resolve) => upstream.write(message, resolve));
        if (message[0] === 0x51) watch.sent(statement);
      }
    }
  } catch {
    // The client is gone.
  } finally {
    upstream.end();
  }
}

/** Infinity while not even the length is there. */
function sizeOf(bytes: Buffer, isOurs: boolean | undefined): number {
  if (isOurs === undefined) return bytes.length < HAS_NO_TYPE ? Infinity : bytes.readInt32BE(0);
  return bytes.length < 5 ? Infinity : 1 + bytes.readInt32BE(1);
}

/** Of a simple query (Q), or of the first message (P) of one with parameters. */
function statementIn(message: Buffer): string | undefined {
  if (message[0] === 0x51) return message.toString('utf8', 5, message.length - 1);
  if (message[0] !== 0x50) return undefined;
  const text = message.indexOf(0, 5) + 1;
  return message.toString('utf8', text, message.indexOf(0, text));
}

/** Statements that only look: ending a daemon before one is ending it after the one before. */
export function onlyReads(text: string): boolean {
  return (
    /^\s*(SELECT|SHOW|SET|WITH|RESET|LOCK)\b/i.test(text) &&
    !/pg_terminate_backend|advisory/.test(text)
  );
}
