import type { Clock } from '../../runtime/clock.ts';
import { DropbackError } from '../../runtime/errors.ts';

/** What a call has to move at least, while it isn't answered: bytes, and in how many milliseconds. */
export interface Pace {
  readonly leastBytes: number;
  readonly withinMs: number;
}

/**
 * Ends a call that an endpoint keeps alive by a byte now and then, which no idle time-out sees. Whoever
 * moves its bytes says so; a call that moves none has to be answered within that time.
 */
export class Progress implements Disposable {
  /** Fires when it was too slow; its reason is the error. */
  readonly tooSlow: AbortSignal;
  readonly #clock: Clock;
  readonly #ended = new AbortController();
  #moved = 0;
  #excusedMs = 0;
  #excusedSince: number | undefined;
  #isBegunAnew = false;

  /** `what` is for the message, for example `upload of part 3`. */
  constructor(what: string, pace: Pace, clock: Clock) {
    this.#clock = clock;
    const controller = new AbortController();
    this.tooSlow = controller.signal;
    void this.#watch(pace).then(
      () => controller.abort(tooSlow(what, pace)),
      // The call is over.
      () => {},
    );
  }

  moved(bytes: number): void {
    this.#moved += bytes;
  }

  /** All that there was has been handed over: for what comes now there is as much time again. */
  beginAnew(): void {
    this.#isBegunAnew = true;
  }

  /** The time that this takes is no fault of the endpoint's. One at a time. */
  async excuse<T>(work: () => Promise<T>): Promise<T> {
    this.#excusedSince = this.#clock.monotonic();
    try {
      return await work();
    } finally {
      this.#excusedMs += this.#takeExcused();
      this.#excusedSince = undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }

  /** Resolves when it was too slow; rejects when the call is over. */
  async #watch({ leastBytes, withinMs }: Pace): Promise<void> {
    do {
      this.#moved = 0;
      this.#isBegunAnew = false;
      for (let left = withinMs; left > 0; ) {
        await this.#clock.sleep(left, this.#ended.signal);
        left = this.#excusedMs + this.#takeExcused();
        this.#excusedMs = 0;
      }
    } while (this.#moved >= leastBytes || this.#isBegunAnew);
  }

  /** Milliseconds of the excuse that is still going on, since they were last taken. */
  #takeExcused(): number {
    if (this.#excusedSince === undefined) return 0;
    const now = this.#clock.monotonic();
    const since = this.#excusedSince;
    this.#excusedSince = now;
    return now - since;
  }
}

function tooSlow(what: string, { leastBytes, withinMs }: Pace): DropbackError {
  const pace = `${Math.round(leastBytes / 1000)} kB in ${withinMs / 1000} s`;
  return new DropbackError('store/too-slow', `${what} was given up: it was slower than ${pace}`, {
    hint: 'the endpoint, or a proxy in between, hardly moves: look at the network, and at what else uses it. It is tried again.',
    retryable: true,
    facts: { leastBytes, withinMs },
  });
}
