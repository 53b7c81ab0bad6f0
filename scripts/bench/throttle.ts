import { connect, createServer, type Server, type Socket } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

const SLICE = 64 * 1024;
/** A line goes on while the processor is elsewhere: what was let by in such a time is made up for. */
const CREDIT_MS = 50;

/** An endpoint on the loopback that takes in no more than so much, all connections together. */
export class Throttle implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #bytesPerMs: number;
  /** When the bytes that were let through so far would have gone over the line. */
  #paidUntil = 0;

  private constructor(target: { host: string; port: number }, megabytesPerSecond: number) {
    this.#bytesPerMs = megabytesPerSecond * 1000;
    this.#server = createServer((from) => this.#join(from, connect(target)));
  }

  static async before(endpoint: string, megabytesPerSecond: number): Promise<Throttle> {
    const { hostname, port } = new URL(endpoint);
    const throttle = new Throttle({ host: hostname, port: Number(port || 80) }, megabytesPerSecond);
    await new Promise<void>((resolve) => throttle.#server.listen(0, '127.0.0.1', resolve));
    return throttle;
  }

  get endpoint(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }

  #join(from: Socket, to: Socket): void {
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    const slow = new Transform({
      highWaterMark: SLICE,
      transform: (chunk: Buffer, _encoding, done) => this.#pass(chunk, done),
    });
    from.pipe(slow).pipe(to);
    to.pipe(from);
  }

  #pass(chunk: Buffer, done: TransformCallback): void {
    const now = performance.now();
    const since = Math.max(now - CREDIT_MS, this.#paidUntil);
    this.#paidUntil = since + chunk.length / this.#bytesPerMs;
    const wait = this.#paidUntil - now;
    // Timers are no finer than a millisecond: what is less adds up in what is paid for.
    if (wait < 2) done(null, chunk);
    else setTimeout(done, wait, null, chunk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
