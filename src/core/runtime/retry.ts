import type { Clock } from './clock.ts';
import { DropbackError, throwIfAborted } from './errors.ts';

/** Exponential backoff with full jitter above half, in milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
  /** Attempts in all; `Infinity` retries until the signal fires. */
  readonly attempts: number;
}

/** Delay before attempt `n + 1`, `n` counted from 1. */
export function backoffDelay(backoff: Backoff, n: number, random = Math.random): number {
  const ceiling = Math.min(backoff.mostMs, backoff.firstMs * 2 ** (n - 1));
  return Math.round(ceiling / 2 + (ceiling / 2) * random());
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly backoff: Backoff;
  /** Default: errors of ours that say `retryable`. */
  readonly isRetryable?: (error: unknown) => boolean;
  /** Told before each wait, so that waiting is never silent. */
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
}

/** Runs `operation` until it succeeds, the error isn't retryable, or the attempts are used up. */
export async function retry<T>(
  operation: (attempt: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const isRetryable =
    options.isRetryable ?? ((error) => error instanceof DropbackError && error.retryable);
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(options.signal);
    try {
      return await operation(attempt);
    } catch (error) {
      if (attempt >= options.backoff.attempts || !isRetryable(error)) throw error;
      const delayMs = backoffDelay(options.backoff, attempt);
      options.onRetry?.(error, attempt, delayMs);
      await options.clock.sleep(delayMs, options.signal);
    }
  }
}
