import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * Stands before a database server and, from a chosen byte on, passes nothing on any more: connections
 * stay open and new ones are accepted, as with a server that hangs. What it held it passes on later.
 */
export class HoldingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Bytes that the server may still send until everything stands still. */
  #left = Number.POSITIVE_INFINITY;
  /** The same of each connection by itself. */
  #leftEach = Number.POSITIVE_INFINITY;
  #still = 0;
  #held = Promise.withResolvers<void>();
  #released = Promise.withResolvers<void>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(target: { host: string; port: number }): Promise<HoldingProxy> {
    const server = createServer();
    const proxy = new HoldingProxy(server);
    server.on('connection', (from) => proxy.#join(from, connect(target.port, target.host)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many connections stand still. */
  get still(): number {
    return this.#still;
  }

  /** Settles when everything stands still. */
  get held(): Promise<void> {
    return this.#held.promise;
  }

  /** Stands still after so many more bytes of the server's, of all connections together. */
  holdAfter(bytes: number): void {
    this.#released = Promise.withResolvers();
    this.#left = bytes;
    if (bytes <= 0) this.#held.resolve();
  }

  /** Each connection stands still after so many bytes of the server's of its own. */
  holdEach(bytes: number): void {
    this.#released = Promise.withResolvers();
    this.#leftEach = bytes;
  }

  release(): void {
    this.#left = Number.POSITIVE_INFINITY;
    this.#leftEach = Number.POSITIVE_INFINITY;
    this.#held = Promise.withResolvers();
    this.#released.resolve();
  }

  #join(from: Socket, to: Socket): void {
    void this.#pass(from, to, false);
    void this.#pass(to, from, true);
  }

  async #pass(from: Socket, to: Socket, isServers: boolean): Promise<void> {
    this.#sockets.add(from);
    from.on('error', () => {});
    let passed = 0;
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        if (isServers) {
          this.#left -= chunk.length;
          passed += chunk.length;
        }
        if (this.#left <= 0 || passed > this.#leftEach) {
          this.#held.resolve();
          this.#still++;
          await this.#released.promise;
          this.#still--;
        }
        if (!to.write(chunk)) await once(to, 'drain');
      }
      to.end();
    } catch {
      to.destroy();
    } finally {
      this.#sockets.delete(from);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
