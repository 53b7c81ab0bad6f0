import type { Clock } from './clock.ts';
import { throwIfAborted } from './errors.ts';

/**
 * Lets so many through at the same time, in order of arrival. Who stays inside for longer than
 * `lapseMs` no longer counts: one that hangs must not keep out all the others for ever.
 */
export class Turnstile {
  readonly #most: number;
  readonly #lapseMs: number;
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #inside = 0;

  constructor(most: number, lapseMs: number, clock: Clock) {
    this.#most = most;
    this.#lapseMs = lapseMs;
    this.#clock = clock;
  }

  /** Runs the work when it is its turn. Rejects with `run/aborted` while it waits. */
  async pass<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal);
    const leave = once(() => this.#leave());
    const lapse = new AbortController();
    void this.#clock.sleep(this.#lapseMs, lapse.signal).then(leave, () => {});
    try {
      return await work();
    } finally {
      lapse.abort();
      leave();
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    if (this.#inside < this.#most) {
      this.#inside += 1;
      return;
    }
    const turn = Promise.withResolvers<void>();
    const onAbort = () => turn.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(turn.resolve);
    try {
      await turn.promise;
    } catch (error) {
      throwIfAborted(signal);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      // A turn that was given in the very moment of the abort goes to the next.
      if (!this.#waiting.delete(turn.resolve) && signal.aborted) this.#leave();
    }
    throwIfAborted(signal);
  }

  /** The place goes straight to the first who waits. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next) {
      this.#waiting.delete(next);
      next();
    } else this.#inside -= 1;
  }
}

function once(work: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    work();
  };
}
