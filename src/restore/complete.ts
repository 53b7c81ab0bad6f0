import type { RestoreReport } from '../core/requests/report.ts';
import { isAbort, messageOf, toDropbackError } from '../core/runtime/errors.ts';
import { type Backoff, retry } from '../core/runtime/retry.ts';
import { conclude } from './conclude.ts';
import type { Job } from './job.ts';
import type { Ending } from './late-signal.ts';
import type { MachineParts } from './parts.ts';
import { fileAway } from './steps/file-away.ts';
import { startStep } from './steps/start.ts';

const finishing: Backoff = { firstMs: 500, mostMs: 5000, attempts: 5 };

/**
 * Everything after the swap, from the journal alone, so that a restarted daemon does the same. Only
 * forward: what fails here becomes a warning. Throws only `run/aborted` and faults of the journal.
 */
export async function complete(
  job: Job,
  parts: MachineParts,
  late: Ending,
): Promise<RestoreReport> {
  if (job.record.report) {
    await fileAway(job, parts, job.record.report);
    return job.record.report;
  }
  const isStarted = job.record.step === 'start' && job.record.phase === 'done';
  if (job.description.target.kind === 'live' && !isStarted) {
    await job.step('start', late.signal, () => startStep(job, parts, late.soonSignal));
  }
  await keepPrevious(job, parts, late.signal);
  await finishEngine(job, parts, late.signal);
  const outcome = job.description.kind === 'undo' ? 'undone' : 'restored';
  return await conclude(job, parts, { outcome }, late.signal);
}

/** The record of what was replaced; an undo's own previous database is live now. */
async function keepPrevious(job: Job, parts: MachineParts, late: AbortSignal): Promise<void> {
  const { state, job: description } = job.record;
  if (!state || description.target.kind !== 'live') return;
  const replaced = job.record.replaced ?? (await askReplaced(job, parts, late));
  if (replaced) {
    await job.save({ replaced }, 'replaced');
    await parts.previous.add({
      previous: replaced,
      restoreId: description.id,
      replacedBy: description.kind === 'undo' ? 'undo' : description.name,
      state,
    });
  }
  const wasPrevious = description.kind === 'undo' ? description.previous : undefined;
  if (wasPrevious && wasPrevious.id !== replaced?.id) await parts.previous.remove(wasPrevious);
}

/** The daemon died between the swap and noting what it replaced: the database still knows. */
async function askReplaced(job: Job, parts: MachineParts, signal: AbortSignal) {
  const { state } = job.record;
  if (!state) return undefined;
  try {
    const result = await retry(() => parts.engine.replaced(state, signal), {
      clock: parts.clock,
      signal,
      backoff: finishing,
    });
    job.warn(...result.warnings);
    return result.previous;
  } catch (error) {
    // Recovery asks again: without a record the kept database would be swept as a left-over.
    if (isAbort(error) || toDropbackError(error).retryable) throw error;
    job.warn(`the previous database could not be described: ${messageOf(error)}`);
    return undefined;
  }
}

async function finishEngine(job: Job, parts: MachineParts, signal: AbortSignal): Promise<void> {
  const { state } = job.record;
  if (!state) return;
  try {
    await parts.checkpoint('before engine finish');
    await retry(() => parts.engine.finish(state, job.context(signal)), {
      clock: parts.clock,
      signal,
      backoff: finishing,
    });
    await parts.checkpoint('after engine finish');
  } catch (error) {
    if (isAbort(error)) throw error;
    parts.leftovers.found = true;
    job.warn(`left-overs of the restore are still to be removed: ${messageOf(error)}`);
  }
}
