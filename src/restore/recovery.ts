import { DropbackError, messageOf } from '../core/runtime/errors.ts';
import { type Backoff, retry } from '../core/runtime/retry.ts';
import type { BringBackOptions } from './bring-back.ts';
import { complete } from './complete.ts';
import { conclude } from './conclude.ts';
import { removeInterruptedWrites } from './interrupted-writes.ts';
import { Job, type OnProgress } from './job.ts';
import type { JobRecord } from './journal/record.ts';
import { nextAttempt } from './machine.ts';
import { Meanwhile } from './meanwhile.ts';
import { mayHaveStopped, returnOrphans } from './orphans.ts';
import type { MachineParts } from './parts.ts';
import { discardStaging, freeWorkFolder, stopsOf } from './roll-back.ts';
import { startEveryListed } from './start-listed.ts';
import { finishFiling } from './steps/file-away.ts';
import { sweepLeftovers } from './sweep.ts';

export type RecoveryEnd =
  /** Nothing was begun, or what was begun is finished. */
  | { readonly kind: 'clean' }
  /** Undone; to be taken up again from its beginning. */
  | { readonly kind: 'again'; readonly record: JobRecord }
  /** The journal says nothing: a person must look before anything else is restored. */
  | { readonly kind: 'blocked'; readonly error: DropbackError };

const patient: Backoff = { firstMs: 1000, mostMs: 30_000, attempts: Number.POSITIVE_INFINITY };
/** So long the containers wait for the database to say which one is live. */
const APPLICATION_WAITS_MS = 60_000;

/**
 * Before a daemon watches, it brings in order what the one before left: resumes what was swapped,
 * undoes what was not, brings the containers back, and removes what no journal knows. Goes on
 * trying while the database is away. Throws `run/aborted`, and faults of the journal's disk.
 */
export async function recover(
  parts: MachineParts,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<RecoveryEnd> {
  try {
    return await fromJournal(parts, signal, onProgress);
  } catch (error) {
    if (signal.aborted) throw error;
    // Which database is live is known, or never will be: the application need not wait for a disk.
    await startEveryListed(parts, signal, 'noted', 'broken-off');
    throw error;
  }
}

async function fromJournal(
  parts: MachineParts,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<RecoveryEnd> {
  const condition = await parts.journal.load();
  if (condition.kind === 'unusable') return blocked(condition.why, parts, signal);
  if (condition.warning) parts.log.error(condition.warning);
  const { record } = condition.body;
  if (!record) {
    if (condition.isNew) await noteForLostJournal(parts, signal);
    // It was another daemon that stopped them, and nobody says how far it came.
    await startEveryNoted(parts, signal, 'broken-off');
    await tidy(parts, undefined, signal);
    return { kind: 'clean' };
  }
  const job = new Job(record, parts, onProgress);
  job.log.warn({ step: record.step, phase: record.phase }, 'a restore was interrupted here');
  const next = await resolve(job, parts, signal);
  await tidy(parts, next?.job.id, signal);
  return next ? { kind: 'again', record: next } : { kind: 'clean' };
}

/** The record of the next attempt, or undefined when the job is at its end. */
async function resolve(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<JobRecord | undefined> {
  if (job.record.report) {
    await startEveryNoted(parts, signal, stopsOf(job.record));
    await finishFiling(job, parts);
    return undefined;
  }
  const { state } = job.record;
  if (state && state.engine !== parts.engine.kind) {
    // Only the database that it was of could say what became of it.
    await startEveryNoted(parts, signal, stopsOf(job.record));
    await conclude(job, parts, { outcome: 'failed', error: ofAnother(job, parts) }, signal);
    return undefined;
  }
  if (job.record.swapped || (await isSwapped(job, parts, signal))) {
    if (!job.record.swapped) await job.save({ swapped: true }, 'swapped, says the database');
    job.warn(`${interrupted(job)}, with the databases swapped: went on from there`);
    await complete(job, parts, { signal, soonSignal: signal });
    return undefined;
  }
  await startEveryNoted(parts, signal, stopsOf(job.record));
  await discardStaging(job, parts, { signal, soonSignal: signal });
  await freeWorkFolder(job);
  if (state && !(await parts.engine.isOfLive(state))) {
    await conclude(job, parts, { outcome: 'failed', error: ofAnother(job, parts) }, signal);
    return undefined;
  }
  job.warn(`${interrupted(job)}: undone, and begun again`);
  const wasParked = job.record.parked === true;
  if (wasParked || job.record.attempt < parts.settings.mostAttempts) {
    const next = nextAttempt(job.record, !wasParked);
    await parts.journal.write(next, 'next attempt');
    return next;
  }
  const error = tooOften(job.record);
  await conclude(job, parts, { outcome: 'failed', error }, signal);
  return undefined;
}

function interrupted(job: Job): string {
  const { attempt, step } = job.record;
  return `interrupted at the step ${step} of attempt ${attempt}, because db-restore ended`;
}

const ASKING = 'asking the database what became of the restore';

/**
 * Before the swap was begun the answer is no, and the application need not wait for it; the engine
 * is asked all the same, since that ends what a dead daemon may have left running.
 */
async function isSwapped(job: Job, parts: MachineParts, signal: AbortSignal): Promise<boolean> {
  const { state, step } = job.record;
  if (step !== 'swap') await startEveryNoted(parts, signal, stopsOf(job.record));
  if (!state) return false;
  await using meanwhile = new Meanwhile(signal);
  const since = parts.clock.monotonic();
  const outcome = await retry(() => parts.engine.outcome(state, signal), {
    clock: parts.clock,
    signal,
    backoff: patient,
    isRetryable: () => !signal.aborted,
    onRetry: (error, attempt, delayMs) => {
      job.log.warn({ attempt, delayMs, error }, ASKING);
      parts.board.problem('recovery', error, ASKING);
      if (step !== 'swap' || parts.clock.monotonic() - since < APPLICATION_WAITS_MS) return;
      meanwhile.begin((until) => startEveryListed(parts, until, 'noted', stopsOf(job.record)));
    },
  });
  return outcome === 'swapped';
}

/** Somebody has lost journal and stopped.json in the middle of a restore: all that is listed is owed. */
async function noteForLostJournal(parts: MachineParts, signal: AbortSignal): Promise<void> {
  const isKnown = (await parts.stopped.read()).kind !== 'none';
  if (isKnown || !(await mayHaveStopped(parts))) return;
  const names = await parts.application.listed(signal);
  parts.log.error(
    { containers: names },
    'the journal of a restore is lost: starting what is listed',
  );
  await parts.stopped.write({ restoreId: 'lost', names, at: parts.clock.now().toISOString() });
}

async function startEveryNoted(
  parts: MachineParts,
  signal: AbortSignal,
  stops: BringBackOptions['stops'],
): Promise<void> {
  const { kind } = await parts.stopped.read();
  if (kind === 'none') return;
  parts.log.warn("the application's containers were stopped by a restore: bringing them back");
  await startEveryListed(parts, signal, 'noted', stops);
}

async function blocked(
  why: string,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<RecoveryEnd> {
  const error = new DropbackError('journal/unusable', `the journal can't be used: ${why}`, {
    hint: 'every listed container was started, and nothing else was touched. See whether the data are the right ones; then move the state file and its .1 away, and restores go on.',
  });
  parts.log.error({ error }, 'restores are off until somebody has looked');
  await startEveryListed(parts, signal, 'all', 'broken-off');
  return { kind: 'blocked', error };
}

/** What is left over is no reason not to go on. */
async function tidy(
  parts: MachineParts,
  inHand: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const work = async () => {
    await removeInterruptedWrites(parts);
    await returnOrphans(parts, inHand);
    await sweepLeftovers(parts, signal);
  };
  try {
    await (parts.tidying ? parts.tidying.pass(work, signal) : work());
  } catch (error) {
    if (signal.aborted) throw error;
    parts.leftovers.found = true;
    parts.log.warn(`left-overs are still to be removed: ${messageOf(error)}`);
  }
}

/** What was dropped for one database is not restored into another. */
function ofAnother({ record }: Job, { engine }: MachineParts): DropbackError {
  return new DropbackError(
    'restore/of-another-database',
    `interrupted at the step ${record.step}, it was of another database than the one that is configured now (${engine.description})`,
    {
      hint: 'that database is wholly the old one or the new one; with DATABASE_URL as it was, db-restore removes what it left there. To restore it here, drop the file again.',
      facts: { step: record.step },
    },
  );
}

function tooOften(record: JobRecord): DropbackError {
  return new DropbackError(
    'restore/interrupted-too-often',
    `the daemon died in attempt ${record.attempt} of this restore too, at the step ${record.step}`,
    {
      hint: 'look for what ends it (memory limit, restarts of the host), then drop the file again.',
      facts: { attempts: record.attempt, step: record.step },
    },
  );
}
