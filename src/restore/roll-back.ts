import { removeUnpacked } from '../core/archive/unpack.ts';
import { type DropbackError, isAbort, messageOf, toDropbackError } from '../core/runtime/errors.ts';
import { type Backoff, retry } from '../core/runtime/retry.ts';
import { bringBack } from './bring-back.ts';
import type { Job } from './job.ts';
import type { JobRecord } from './journal/record.ts';
import type { Ending } from './late-signal.ts';
import type { MachineParts } from './parts.ts';

/** While it isn't known which database is live, the application waits; but not for ever. */
const asking: Backoff = { firstMs: 500, mostMs: 5000, attempts: 15 };
const discarding: Backoff = { firstMs: 500, mostMs: 5000, attempts: 5 };

/**
 * Undoes a job that failed before or during the swap: the containers first, then staging.
 * `swapped` when the database says that the swap did happen: the job goes forward then. What can't
 * be undone now is a warning: it is swept later. `late` bounds it.
 */
export async function rollBack(
  job: Job,
  parts: MachineParts,
  reason: DropbackError,
  late: Ending,
): Promise<'rolled-back' | 'swapped'> {
  const { step, state } = job.record;
  // Its hint follows with the report; the message is told here too, should that never come.
  const why = { step, code: reason.code, reason: reason.message };
  job.log.warn(why, 'undoing what was begun; the live database stays');
  if (step === 'swap' && state && (await askOutcome(job, parts, late.signal)) === 'swapped') {
    await job.save({ swapped: true }, 'swapped after all');
    return 'swapped';
  }
  await startAgain(job, parts, late.soonSignal);
  if (state) await discardStaging(job, parts, late);
  await freeWorkFolder(job);
  return 'rolled-back';
}

/** What was unpacked may be what has filled the volume that the journal is on. Never throws. */
export async function freeWorkFolder(job: Job): Promise<void> {
  await removeUnpacked(job.workFolder).catch((error: unknown) =>
    job.log.warn({ error }, 'what was unpacked could not be removed yet'),
  );
}

/** Throws when the database goes on not answering: nothing may be discarded then. */
async function askOutcome(job: Job, parts: MachineParts, signal: AbortSignal) {
  const { state } = job.record;
  if (!state) return 'not-swapped';
  return retry(() => parts.engine.outcome(state, signal), {
    clock: parts.clock,
    signal,
    backoff: asking,
    onRetry: (error) =>
      job.log.warn({ error }, 'asking the database which of the two is live; trying again'),
  });
}

/** Never throws: the application comes back first, whatever else is wrong. */
export async function startAgain(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<void> {
  try {
    const result = await bringBack(parts, signal, { stops: stopsOf(job.record) });
    job.warn(...(result?.warnings ?? []));
  } catch (error) {
    job.warn(
      isAbort(error)
        ? 'the daemon ended before the containers were all back: it brings them back when it is started'
        : `the containers are not all back (${messageOf(error)}): the daemon goes on trying`,
    );
  }
}

/** Whether every stop of this attempt was seen to its end. */
export function stopsOf({ stoppedAt, stoppingAgain }: JobRecord): 'seen' | 'broken-off' {
  return stoppedAt === undefined || stoppingAgain ? 'broken-off' : 'seen';
}

/** What can't be removed now is a warning, and swept later. Never throws. */
export async function discardStaging(
  job: Job,
  parts: MachineParts,
  { signal, soonSignal }: Ending,
): Promise<void> {
  const { state } = job.record;
  if (!state) return;
  try {
    await parts.checkpoint('before discard');
    await retry(() => parts.engine.discard(state, job.context(signal)), {
      clock: parts.clock,
      signal,
      backoff: discarding,
      isRetryable: (error) => toDropbackError(error).retryable && !soonSignal.aborted,
    });
    await parts.checkpoint('after discard');
  } catch (error) {
    parts.leftovers.found = true;
    job.warn(`what was staged could not be removed yet (${messageOf(error)}): it is swept later`);
  }
}
