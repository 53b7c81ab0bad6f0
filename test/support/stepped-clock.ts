import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../src/core/runtime/clock.ts';
import { abortedError } from '../../src/core/runtime/errors.ts';

/** Milliseconds that pass at once; between two steps whoever was woken gets to work. */
const STEP_MS = 100;
const LONG_STEP_MS = 1000;
const LONG_MS = 10_000;
/** Hours pass in minutes. */
const HOURS_STEP_MS = 120_000;
const HOURS_MS = 1_200_000;
const REST_MS = 4;

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Time that passes only when a test says so: a minute in a second, and never more than asked for. */
export class SteppedClock implements Clock {
  readonly #sleepers = new Set<Sleeper>();
  #monotonic = 0;
  #wall: number;

  /** `wall`: milliseconds since 1970. */
  constructor(wall = Date.now()) {
    this.#wall = wall;
  }

  now(): Date {
    return new Date(this.#wall);
  }

  monotonic(): number {
    return this.#monotonic;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortedError(signal));
      const end = (settle: () => void) => () => {
        this.#sleepers.delete(sleeper);
        signal.removeEventListener('abort', abort);
        settle();
      };
      const abort = end(() => reject(abortedError(signal)));
      const sleeper = { until: this.#monotonic + ms, wake: end(resolve) };
      this.#sleepers.add(sleeper);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** Lets so many milliseconds pass. */
  async advance(ms: number): Promise<void> {
    const most = ms > HOURS_MS ? HOURS_STEP_MS : ms > LONG_MS ? LONG_STEP_MS : STEP_MS;
    for (let left = ms; left > 0; left -= most) {
      const step = Math.min(most, left);
      this.#monotonic += step;
      this.#wall += step;
      for (const sleeper of this.#sleepers) if (sleeper.until <= this.#monotonic) sleeper.wake();
      await delay(REST_MS);
    }
  }

  /** Time passes until it is so; `withinMs` of real time. */
  async until(what: string, look: () => boolean | Promise<boolean>, withinMs = 30_000) {
    const deadline = performance.now() + withinMs;
    while (!(await look())) {
      if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
      await this.advance(STEP_MS);
    }
  }

  /** Somebody sets the wall clock; durations are not affected. */
  jump(ms: number): void {
    this.#wall += ms;
  }
}
