import type { Clock } from './clock.ts';
import { throwIfAborted } from './errors.ts';

/** Of one that was let through. Calling either twice changes nothing. */
export interface Place {
  /** Another may come in: this one waits for something that has nothing to do with the others. */
  stepOut(): void;
  /**
   * Takes a place again, at once and even where none is free, so that what was waited for needn't be
   * held while waiting here. Nobody else is let in until there are as few inside as there should be.
   */
  stepIn(): void;
}

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
  async pass<T>(work: (place: Place) => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal);
    const place = this.#taken();
    try {
      return await work(place);
    } finally {
      place.stepOut();
    }
  }

  #taken(): Place {
    let lapse: AbortController | undefined;
    const stepOut = () => {
      if (!lapse) return;
      lapse.abort();
      lapse = undefined;
      this.#leave();
    };
    const begin = () => {
      const own = new AbortController();
      lapse = own;
      const end = () => {
        if (lapse === own) stepOut();
      };
      void this.#clock.sleep(this.#lapseMs, own.signal).then(end, () => {});
    };
    const stepIn = () => {
      if (lapse) return;
      this.#inside += 1;
      begin();
    };
    begin();
    return { stepOut, stepIn };
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

  /** The place goes straight to the first who waits, unless there are too many inside. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next && this.#inside <= this.#most) {
      this.#waiting.delete(next);
      next();
    } else this.#inside -= 1;
  }
}
