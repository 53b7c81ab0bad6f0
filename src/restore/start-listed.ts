import { isAbort } from '../core/runtime/errors.ts';
import {
  type BringBackOptions,
  bringBack,
  hasFailed,
  OWED,
  type StartParts,
  tellWhatIsOwed,
} from './steps/start.ts';

/**
 * Starts what `stopped.json` says; where that can't be read, or with `all`, every listed container
 * that isn't running. Throws only `run/aborted`: what fails is logged, and tried again on a poll.
 * True when nothing is owed any more.
 */
export async function startEveryListed(
  parts: StartParts,
  signal: AbortSignal,
  which: 'noted' | 'all' = 'noted',
  stops: BringBackOptions['stops'] = 'earlier',
): Promise<boolean> {
  try {
    const condition = await parts.stopped.read();
    if (condition.kind === 'none' && which === 'noted') {
      parts.board.solved(OWED, 'no container is owed its start any more');
      return true;
    }
    if (condition.kind === 'known') {
      const result = await bringBack(parts, signal, { stops });
      if (which === 'noted') return !result || !hasFailed(result);
    }
    return await startAllThatAreDown(parts, signal, condition.kind === 'unusable');
  } catch (error) {
    if (isAbort(error) || signal.aborted) throw error;
    parts.board.problem(OWED, error, NOT_BACK);
    return false;
  }
}

const NOT_BACK = 'not all containers are back; trying again on the next poll';

async function startAllThatAreDown(
  parts: StartParts,
  signal: AbortSignal,
  noteIsDamaged: boolean,
): Promise<boolean> {
  const { stop } = await parts.application.resolve(signal);
  const running = await parts.application.running(stop, signal);
  const down = stop.filter((name) => !running.includes(name));
  if (noteIsDamaged) parts.log.error({ starting: down }, 'stopped.json is damaged');
  const isBack = tellWhatIsOwed(await parts.application.start(down, { signal }), parts);
  if (isBack && noteIsDamaged) await parts.stopped.remove();
  return isBack;
}
