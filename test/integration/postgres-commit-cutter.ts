import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestServer } from '../support/testbed.ts';

export type Fault = 'none' | 'before-commit' | 'after-commit';

/** Stands between client and server, and cuts the connection of the COMMIT that ends a swap. */
export class CommitCutter implements AsyncDisposable {
  fault: Fault = 'none';
  cuts = 0;
  readonly #server = createServer((client) => this.#accept(client));
  readonly #sockets = new Set<Socket>();
  readonly #target: TestServer;
  readonly #sign: string;

  private constructor(target: TestServer, sign: string) {
    this.#target = target;
    this.#sign = sign;
  }

  /** `sign`: text by which the connection is known whose COMMIT is meant. */
  static async listen(target: TestServer, sign = 'RENAME TO'): Promise<CommitCutter> {
    const cutter = new CommitCutter(target, sign);
    await new Promise<void>((resolve) => cutter.#server.listen(0, '127.0.0.1', resolve));
    return cutter;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #accept(client: Socket): void {
    const upstream = connect(this.#target.port, this.#target.host);
    let signs = 0;
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
    }
    upstream.on('data', (chunk) => client.write(chunk));
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
    client.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      if (text.includes(this.#sign)) signs++;
      const isSwapCommit = signs > 0 && /COMMIT;?\0/.test(text);
      if (!isSwapCommit || this.fault === 'none') upstream.write(chunk);
      else this.#cut(client, upstream, chunk);
    });
  }

  #cut(client: Socket, upstream: Socket, chunk: Buffer): void {
    this.cuts++;
    if (this.fault === 'before-commit') {
      // Once only: the second attempt goes through.
      this.fault = 'none';
      client.destroy();
      return;
    }
    // The server's answer never arrives; the client sees its connection end.
    upstream.removeAllListeners('data');
    upstream.write(chunk);
    upstream.once('data', () => client.destroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
