import type { DatabaseInfo, Engine } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { DropbackError, errorReport } from '../core/runtime/errors.ts';
import { retry } from '../core/runtime/retry.ts';

export interface WaitOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Logger;
  /** Looks at the database at most this often before giving up; default: for ever. */
  readonly attempts?: number;
  /** Told each look in vain. */
  readonly onWaiting?: (error: unknown, attempt: number) => void;
}

/**
 * Waits until the database answers: 1, 2, 4 … s between looks, 60 s at most, one clear line each
 * time. What waiting can't mend (a wrong password) is waited for too: someone may be mending it.
 */
export function waitForDatabase(options: WaitOptions, signal: AbortSignal): Promise<DatabaseInfo> {
  const { engine, clock, log } = options;
  return retry(
    async () => {
      const info = await engine.probe(signal);
      if (info.exists) return info;
      throw missing(engine, options.attempts === undefined);
    },
    {
      clock,
      signal,
      backoff: {
        firstMs: 1000,
        mostMs: 60_000,
        attempts: options.attempts ?? Number.POSITIVE_INFINITY,
      },
      isRetryable: (error) => error instanceof DropbackError && error.code.startsWith('database/'),
      onRetry: (error, attempt, delayMs) => {
        const { code, message, hint } = errorReport(error);
        const seconds = Math.round(delayMs / 1000);
        log.warn(
          { code, hint, attempt },
          `waiting for the database: ${message}; again in ${seconds} s`,
        );
        options.onWaiting?.(error, attempt);
      },
    },
  );
}

function missing({ kind, description }: Engine, isWaitedFor: boolean): DropbackError {
  const volume = kind === 'sqlite' ? '; mount its volume here too' : '';
  const remedy = `create it, or correct DATABASE_URL${volume}.`;
  return new DropbackError('database/missing', `${description} does not exist yet`, {
    hint: isWaitedFor ? `it is waited for; ${remedy}` : remedy,
    retryable: true,
  });
}
