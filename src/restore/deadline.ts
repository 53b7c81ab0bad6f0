import type { Clock } from '../core/runtime/clock.ts';
import { DropbackError } from '../core/runtime/errors.ts';

/** What any content gets, and what each megabyte of it gets on top: far below what a disk does. */
const LEAST_MS = 3_600_000;
const MS_PER_MEGABYTE = 1000;
const MEGABYTE = 1_000_000;

/** Milliseconds that a step may take with so much content, where nothing is configured. */
export function plausibleMs(contentBytes: number): number {
  return LEAST_MS + Math.ceil(contentBytes / MEGABYTE) * MS_PER_MEGABYTE;
}

/**
 * Runs `work`, and ends it with `drop/takes-too-long` after `mostMs`: a file that sleeps or computes
 * for ever would keep all others waiting behind it. Settles only when `work` has.
 */
export async function withDeadline<T>(
  limit: { readonly mostMs: number; readonly clock: Clock },
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const done = new AbortController();
  const waiting = limit.clock.sleep(limit.mostMs, AbortSignal.any([signal, done.signal])).then(
    () => late.abort(takesTooLong(limit.mostMs)),
    () => undefined,
  );
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    // However it says that it was stopped, this is why.
    if (late.signal.aborted && !signal.aborted) throw late.signal.reason;
    throw error;
  } finally {
    done.abort();
    await waiting;
  }
}

function takesTooLong(mostMs: number): DropbackError {
  return new DropbackError(
    'drop/takes-too-long',
    `the file was still being read, loaded or checked after ${Math.round(mostMs / 1000)} s`,
    {
      hint: 'look for a function or statement in it that never ends; if it is only large, raise RESTORE_TIMEOUT_SECONDS.',
      facts: { mostMs },
    },
  );
}
