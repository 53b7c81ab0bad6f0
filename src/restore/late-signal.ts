import type { Clock } from '../core/runtime/clock.ts';

/** What ends the work of a daemon that has been asked to end, or of one that has not. */
export interface Ending {
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** Ends the wait for what doesn't come about: Docker, containers and database may end, too. */
  readonly soonSignal: AbortSignal;
}

/**
 * Signals that fire `soonMs` and `ms` milliseconds after `signal` has: for what must be brought in
 * order once the daemon has been asked to end, without holding its end up for ever.
 */
export function lateSignal(
  signal: AbortSignal,
  clock: Clock,
  soonMs: number,
  ms: number,
): LateSignal {
  const late = new AbortController();
  const soon = new AbortController();
  const done = new AbortController();
  const fire = (controller: AbortController, afterMs: number) =>
    clock.sleep(afterMs, done.signal).then(
      () => controller.abort(signal.reason),
      () => {},
    );
  const begin = () => {
    void fire(soon, soonMs);
    void fire(late, ms);
  };
  if (signal.aborted) begin();
  else signal.addEventListener('abort', begin, { once: true });
  return {
    signal: late.signal,
    soonSignal: soon.signal,
    [Symbol.dispose]() {
      signal.removeEventListener('abort', begin);
      done.abort();
    },
  };
}

export interface LateSignal extends Disposable, Ending {}
