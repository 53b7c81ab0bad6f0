import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { servers, type TestServer } from '../support/testbed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

type Fault = 'none' | 'before-commit' | 'after-commit';

/** Stands between client and server, and cuts the connection of the COMMIT that ends a swap. */
class CommitCutter implements AsyncDisposable {
  fault: Fault = 'none';
  cuts = 0;
  readonly #server = createServer((client) => this.#accept(client));
  readonly #sockets = new Set<Socket>();
  readonly #target: TestServer;

  private constructor(target: TestServer) {
    this.#target = target;
  }

  static async listen(target: TestServer): Promise<CommitCutter> {
    const cutter = new CommitCutter(target);
    await new Promise<void>((resolve) => cutter.#server.listen(0, '127.0.0.1', resolve));
    return cutter;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #accept(client: Socket): void {
    const upstream = connect(this.#target.port, this.#target.host);
    let renames = 0;
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
    }
    upstream.on('data', (chunk) => client.write(chunk));
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
    client.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      if (text.includes('RENAME TO')) renames++;
      const isSwapCommit = renames > 0 && text.includes('COMMIT\0');
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

describe.each(servers)('a COMMIT without an answer on PostgreSQL $major', (server) => {
  test.each(['before-commit', 'after-commit'] as const)('is resolved: cut %s', async (fault) => {
    await using bed = await RestoreBed.create(server);
    await using cutter = await CommitCutter.listen(server);
    await bed.sql('CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
    const drop = await bed.dump('postgres-custom', bed.live);
    await bed.sql('INSERT INTO t VALUES (2)');
    const connection = bed.connection({ host: '127.0.0.1', port: cutter.port, sslMode: 'disable' });
    const database = { kind: 'postgres' as const, connection, maintenanceDatabase: 'postgres' };
    const engine = bed.engine({ database });
    cutter.fault = fault;
    const { swap, state } = await bed.restore(engine, drop);
    expect(cutter.cuts).toBe(1);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
    expect(swap.previous?.bytes).toBeGreaterThan(1_000_000);
    expect(await engine.outcome(state, bed.context().signal)).toBe('swapped');
    expect(await bed.leftovers()).toEqual([]);
  });
});
