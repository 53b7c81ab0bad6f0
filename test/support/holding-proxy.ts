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

  release(): void {
    this.#left = Number.POSITIVE_INFINITY;
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
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        if (isServers) this.#left -= chunk.length;
        if (this.#left <= 0) {
          this.#held.resolve();
          await this.#released.promise;
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
