import type { Logger } from '../../core/observability/log.ts';
import type { Clock } from '../../core/runtime/clock.ts';
import type { RequestInbox } from './inbox.ts';

export interface Noticing {
  readonly inbox: RequestInbox;
  readonly pollIntervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Who asks while a job or recovery is in hand learns that the request waits for its turn. */
export async function noticing<T>(
  work: () => Promise<T>,
  parts: Noticing,
  signal: AbortSignal,
): Promise<T> {
  const ended = new AbortController();
  const looking = lookAgain(parts, AbortSignal.any([signal, ended.signal]));
  try {
    return await work();
  } finally {
    ended.abort();
    await looking;
  }
}

async function lookAgain(parts: Noticing, signal: AbortSignal): Promise<void> {
  const { inbox, pollIntervalMs, clock, log } = parts;
  while (!signal.aborted) {
    await clock.sleep(pollIntervalMs, signal).catch(() => {});
    if (signal.aborted) return;
    await inbox
      .pending()
      .catch((error: unknown) => log.debug({ error }, 'requests could not be looked at'));
  }
}
