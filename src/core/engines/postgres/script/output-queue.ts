import type { Writable } from 'node:stream';
import { abortedError, throwIfAborted } from '../../../runtime/errors.ts';

/** Neighbouring pieces of one chunk are written as one; a slow reader is waited for. */
export class OutputQueue {
  readonly #output: Writable;
  readonly #signal: AbortSignal;
  #pieces: Buffer[] = [];

  constructor(output: Writable, signal: AbortSignal) {
    this.#output = output;
    this.#signal = signal;
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    const last = this.#pieces.at(-1);
    if (
      last &&
      last.buffer === piece.buffer &&
      last.byteOffset + last.length === piece.byteOffset
    ) {
      const joined = Buffer.from(last.buffer, last.byteOffset, last.length + piece.length);
      this.#pieces[this.#pieces.length - 1] = joined;
    } else {
      this.#pieces.push(piece);
    }
  }

  /** As many empty lines as something that is left out took. */
  addLines(count: number): void {
    if (count > 0) this.add(Buffer.from('\n'.repeat(count)));
  }

  /** Hands everything to the stream and waits until it wants more. */
  async flush(): Promise<void> {
    const pieces = this.#pieces;
    this.#pieces = [];
    let wantsMore = true;
    this.#output.cork();
    for (const piece of pieces) wantsMore = this.#output.write(piece);
    this.#output.uncork();
    if (this.#output.destroyed) throw this.#output.errored ?? closedEarly();
    if (!wantsMore && this.#output.writableNeedDrain) await this.#wait('drain');
  }

  /** Flushes, ends the stream, and waits until the reader has been given everything. */
  async end(): Promise<void> {
    await this.flush();
    this.#output.end();
    if (!this.#output.writableFinished) await this.#wait('finish');
  }

  #wait(event: 'drain' | 'finish'): Promise<void> {
    throwIfAborted(this.#signal);
    const output = this.#output;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onError = (error: Error) => reject(error);
    const onClose = () =>
      output.writableFinished ? resolve() : reject(output.errored ?? closedEarly());
    const onAbort = () => reject(abortedError(this.#signal));
    output.once(event, resolve).once('error', onError).once('close', onClose);
    this.#signal.addEventListener('abort', onAbort, { once: true });
    return promise.finally(() => {
      output.off(event, resolve).off('error', onError).off('close', onClose);
      this.#signal.removeEventListener('abort', onAbort);
    });
  }
}

function closedEarly(): Error {
  return Object.assign(new Error('the reader of the script has closed its input'), {
    code: 'EPIPE',
  });
}
