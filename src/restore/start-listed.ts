import { isAbort } from '../core/runtime/errors.ts';
import {
  type BringBackOptions,
  bringBack,
  hasFailed,
  OWED,
  type StartParts,
  startAllListed,
} from './bring-back.ts';

/**
 * Starts what `stopped.json` says; with `all`, every listed container that isn't running, too. Throws
 * only `run/aborted`: what fails is logged, and tried again on a poll. True when nothing is owed any
 * more.
 */
export async function startEveryListed(
  parts: StartParts,
  signal: AbortSignal,
  which: 'noted' | 'all' = 'noted',
  stops: BringBackOptions['stops'] = 'earlier',
): Promise<boolean> {
  try {
    const noted = await bringBack(parts, signal, { stops });
    const listed = which === 'all' ? await startAllListed(parts, signal) : undefined;
    if (!noted && !listed) parts.board.solved(OWED, 'no container is owed its start any more');
    return ![noted, listed].some((result) => result && hasFailed(result));
  } catch (error) {
    if (isAbort(error) || signal.aborted) throw error;
    parts.board.problem(OWED, error, NOT_BACK);
    return false;
  }
}

const NOT_BACK = 'not all containers are back; trying again';
