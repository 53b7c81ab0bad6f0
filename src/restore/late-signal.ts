import type { Clock } from '../core/runtime/clock.ts';

/**
 * A signal that fires `ms` milliseconds after `signal` has: for what must be brought in order once
 * the daemon has been asked to end, without holding its end up for ever.
 */
export function lateSignal(signal: AbortSignal, clock: Clock, ms: number): LateSignal {
  const late = new AbortController();
  const done = new AbortController();
  const begin = () => {
    clock.sleep(ms, done.signal).then(
      () => late.abort(signal.reason),
      () => {},
    );
  };
  if (signal.aborted) begin();
  else signal.addEventListener('abort', begin, { once: true });
  return {
    signal: late.signal,
    [Symbol.dispose]() {
      signal.removeEventListener('abort', begin);
      done.abort();
    },
  };
}

export interface LateSignal extends Disposable {
  readonly signal: AbortSignal;
}
