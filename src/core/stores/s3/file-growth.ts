import { stat } from 'node:fs/promises';
import type { Clock } from '../../runtime/clock.ts';

/** How often a growing file is looked at, in milliseconds. */
const INTERVAL_MS = 100;

/**
 * The sizes of a file that another program appends to, until `done` settles, however it settles;
 * the last size is read after that. A file that isn't there yet has size 0; one that is there no longer
 * has its last name by now, and grows no more.
 */
export async function* fileGrowth(
  path: string,
  done: Promise<unknown>,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<number> {
  const ended = new AbortController();
  const end = () => ended.abort();
  done.then(end, end);
  const either = AbortSignal.any([signal, ended.signal]);
  for (let wasThere = false, isLast = false; !isLast; ) {
    isLast = either.aborted;
    if (signal.aborted) return;
    const size = await sizeOf(path);
    if (size === undefined && wasThere) return;
    wasThere = size !== undefined;
    yield size ?? 0;
    if (!isLast) await clock.sleep(INTERVAL_MS, either).catch(() => {});
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch {
    return undefined;
  }
}
