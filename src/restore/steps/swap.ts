import type { DatabaseLock } from '../../core/engines/engine.ts';
import { throwIfAborted } from '../../core/runtime/errors.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import type { MachineParts } from '../parts.ts';
import { confirmStopped, endThoseFromBefore } from './stop.ts';

/**
 * The one instant at which the live database changes. Once begun it is not broken off because the
 * daemon is asked to end: only the loss of the lock, or `late`, does that.
 */
export async function swapStep(
  job: Job,
  parts: MachineParts,
  lock: DatabaseLock | undefined,
  late: AbortSignal,
): Promise<Partial<JobRecord>> {
  const { state } = job.record;
  if (!state) throw new Error('nothing is staged');
  const signal = lock ? AbortSignal.any([late, lock.lost]) : late;
  if (lock) await confirmStopped(job, parts, signal);
  throwIfAborted(signal);
  await parts.checkpoint('before engine swap');
  const result = await parts.engine.swap(state, job.context(signal));
  await parts.checkpoint('after engine swap');
  job.warn(...result.warnings);
  const swapped = { swapped: true, ...(result.previous ? { replaced: result.previous } : {}) };
  // From here on nothing is rolled back, even where the next write fails.
  job.note(swapped);
  if (lock) await endThoseFromBefore(job, parts, late);
  return swapped;
}
