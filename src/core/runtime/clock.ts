import { setTimeout as delay } from 'node:timers/promises';
import { abortedError } from './errors.ts';

/**
 * Time, injected wherever it matters, so that tests decide what time it is.
 *
 * Contract: `monotonic()` never goes back and is the only source for durations; `now()` is the
 * wall clock and may jump. `sleep()` ends early with `run/aborted` when the signal fires.
 */
export interface Clock {
  /** Wall-clock time. */
  now(): Date;
  /** Milliseconds since an arbitrary start, unaffected by changes of the wall clock. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with `run/aborted` as soon as `signal` fires. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Node's timers overflow past 2^31-1 ms; longer sleeps are taken in pieces. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    let left = ms;
    do {
      const piece = Math.max(0, Math.min(left, LONGEST_TIMER_MS));
      try {
        await delay(piece, undefined, { signal });
      } catch {
        throw abortedError(signal);
      }
      left -= piece;
    } while (left > 0);
  },
};
