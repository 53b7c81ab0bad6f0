import type { RestoreOutcome, RestoreReport } from '../core/requests/report.ts';
import { DropbackError, isAbort, throwIfAborted, toDropbackError } from '../core/runtime/errors.ts';
import { complete } from './complete.ts';
import { conclude } from './conclude.ts';
import { plausibleMs, withDeadline } from './deadline.ts';
import { removeWorkFolder } from './drop-folder/filing.ts';
import { HeldLock } from './held-lock.ts';
import { Job, type OnProgress } from './job.ts';
import type { JobRecord } from './journal/record.ts';
import { requireKeptOfLive } from './kept.ts';
import { type Ending, lateSignal } from './late-signal.ts';
import type { MachineParts } from './parts.ts';
import { outcomeOf } from './report.ts';
import { discardStaging, rollBack, startAgain } from './roll-back.ts';
import { checkStep } from './steps/check.ts';
import { claimStep } from './steps/claim.ts';
import { inspectStep } from './steps/inspect.ts';
import { stageStep } from './steps/stage.ts';
import { stopStep, takeLock } from './steps/stop.ts';
import { swapStep } from './steps/swap.ts';

/** How a run of the machine ended. */
export type JobEnd =
  | { readonly kind: 'reported'; readonly report: RestoreReport }
  /** The file changed before it was ours: it is settled anew. */
  | { readonly kind: 'returned' }
  /** Something was away that may come back (the database): to be run again with this record. */
  | { readonly kind: 'again'; readonly record: JobRecord; readonly error: DropbackError }
  /** The daemon was asked to end: undone as far as possible, noted in the journal. */
  | { readonly kind: 'parked' }
  /** Only recovery can go on: it is tried until the database and the disk let it. */
  | { readonly kind: 'unresolved'; readonly error: DropbackError };

/**
 * Takes one job through the steps claim, inspect, stage, check, stop, swap, start and file away.
 *
 * Invariants: the intent of every step is durable before it, its result after it; the live
 * database changes in `swap` alone; before it every failure is rolled back, after it the job only
 * goes forward; `stopped.json` is durable before the first container is stopped.
 */
export class RestoreMachine {
  readonly #parts: MachineParts;

  constructor(parts: MachineParts) {
    this.#parts = parts;
  }

  /** `signal` asks the daemon to end. Never throws. */
  async run(record: JobRecord, signal: AbortSignal, onProgress: OnProgress): Promise<JobEnd> {
    const job = new Job(record, this.#parts, onProgress);
    const { startGraceMs, endGraceMs } = this.#parts.settings;
    using late = lateSignal(signal, this.#parts.clock, startGraceMs, endGraceMs);
    await using locks = new HeldLock(job.log);
    try {
      return await this.#runToEnd(job, locks, signal, late);
    } catch (error) {
      return await this.#leaveToRecovery(job, error, late);
    } finally {
      this.#parts.turn?.release();
    }
  }

  async #runToEnd(job: Job, locks: HeldLock, signal: AbortSignal, late: Ending): Promise<JobEnd> {
    try {
      await this.#untilSwapped(job, locks, signal, late.signal);
    } catch (error) {
      locks.release();
      if (!job.record.swapped) return this.#giveUp(job, error, signal, late);
      job.log.error({ error }, 'the swap is done, something after it failed; going on');
    }
    locks.release();
    if (job.description.kind === 'check') {
      return this.#report(job, { outcome: 'checked' }, late.signal);
    }
    return { kind: 'reported', report: await complete(job, this.#parts, late) };
  }

  /** The journal can't be written, or the database doesn't say which one is live. */
  async #leaveToRecovery(job: Job, error: unknown, late: Ending): Promise<JobEnd> {
    if (isAbort(error)) return { kind: 'parked' };
    job.log.error({ error }, 'left to recovery');
    await startAgain(job, this.#parts, late.soonSignal);
    return { kind: 'unresolved', error: toDropbackError(error) };
  }

  async #untilSwapped(
    job: Job,
    locks: HeldLock,
    signal: AbortSignal,
    late: AbortSignal,
  ): Promise<void> {
    const parts = this.#parts;
    if (job.description.kind === 'undo') {
      const { previous } = job.description;
      if (!previous) throw nothingToUndo();
      await requireKeptOfLive(previous, parts.previous, parts.engine);
      const state = await parts.engine.planUndo(previous, job.context(signal));
      await job.save({ state, step: 'stop', phase: 'intent' }, 'plan undo');
      await parts.news.started(job);
      return this.#stopAndSwap(job, locks, signal, late);
    }
    await job.step('claim', signal, () => claimStep(job, parts, signal));
    if (job.description.target.kind === 'side' || job.description.kind === 'check') {
      await this.#prepare(job, signal);
      if (job.description.kind === 'check') return this.#discardChecked(job, signal);
      return job.step('swap', signal, () => swapStep(job, parts, undefined, late));
    }
    // Known to be there before anything is touched, not only when it is their turn.
    await parts.application.resolvePatiently(signal);
    if (parts.settings.stopFirst) return this.#stopAndSwap(job, locks, signal, late, true);
    await this.#prepare(job, signal);
    return this.#stopAndSwap(job, locks, signal, late);
  }

  async #prepare(job: Job, signal: AbortSignal, onInspected?: () => Promise<void>): Promise<void> {
    const parts = this.#parts;
    const inspected: Awaited<ReturnType<typeof inspectStep>>[] = [];
    const { clock, settings } = parts;
    const within = <T>(bytes: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
      withDeadline({ clock, mostMs: settings.timeoutMs ?? plausibleMs(bytes) }, signal, work);
    const { bytes = 0 } = job.record.claimed ?? {};
    await job.step('inspect', signal, async () => {
      inspected.push(await within(bytes, (soon) => inspectStep(job, parts, soon)));
      return { inspection: inspected[0]?.inspection } as Partial<JobRecord>;
    });
    if (job.description.kind === 'restore') await parts.news.started(job);
    await onInspected?.();
    const [found] = inspected;
    if (!found) return;
    const { drop, inspection } = found;
    // How much is in a packed file was seen when it was inspected: staging may become as large.
    const contentBytes = drop.packed ? inspection.stagingBudgetBytes : drop.contentBytes;
    await job.step('stage', signal, () =>
      within(contentBytes, (soon) => stageStep(job, parts, found, soon)),
    );
    await job.step('check', signal, () =>
      within(contentBytes, (soon) => checkStep(job, parts, found, soon)),
    );
  }

  /** The lock is held from before the first stop until the swap is decided. */
  async #stopAndSwap(
    job: Job,
    locks: HeldLock,
    signal: AbortSignal,
    late: AbortSignal,
    prepareBetween = false,
  ): Promise<void> {
    const parts = this.#parts;
    const stop = async () => {
      await parts.hooks.before(job, signal);
      const lock = locks.hold(await takeLock(job, parts, signal));
      const guarded = AbortSignal.any([signal, lock.lost]);
      await job.step('stop', guarded, () => stopStep(job, parts, guarded, late));
    };
    if (prepareBetween) await this.#prepare(job, signal, stop);
    else await stop();
    await job.step('swap', signal, () => swapStep(job, parts, locks.held, late));
  }

  async #discardChecked(job: Job, signal: AbortSignal): Promise<void> {
    await discardStaging(job, this.#parts, { signal, soonSignal: signal });
    throwIfAborted(signal);
  }

  async #giveUp(job: Job, thrown: unknown, signal: AbortSignal, late: Ending): Promise<JobEnd> {
    const parts = this.#parts;
    const error = toDropbackError(thrown);
    const decision = await rollBack(job, parts, error, late);
    if (decision === 'swapped') {
      return { kind: 'reported', report: await complete(job, parts, late) };
    }
    if (signal.aborted) {
      await job.save({ parked: true }, 'parked');
      return { kind: 'parked' };
    }
    if (error.code === 'drop/changed') {
      await removeWorkFolder(job.workFolder, parts.checkpoint);
      await parts.journal.write(null, 'returned');
      return { kind: 'returned' };
    }
    if (isWorthAnother(error) && job.record.attempt < parts.settings.mostAttempts) {
      job.log.warn({ error }, 'undone; trying again');
      return { kind: 'again', record: nextAttempt(job.record), error };
    }
    return this.#report(job, { outcome: outcomeOf(error), error }, late.signal);
  }

  async #report(
    job: Job,
    end: { readonly outcome: RestoreOutcome; readonly error?: DropbackError },
    late: AbortSignal,
  ): Promise<JobEnd> {
    return { kind: 'reported', report: await conclude(job, this.#parts, end, late) };
  }
}

/** A lock that stays taken was waited for long enough; what is unreachable may come back. */
function isWorthAnother(error: DropbackError): boolean {
  return error.retryable && error.code !== 'lock/busy';
}

/** The same job from its beginning; what an attempt made is gone. */
export function nextAttempt(record: JobRecord, isRetry = true): JobRecord {
  const { job, sourceSignature, warnings } = record;
  const { claimed, backupOfOurs } = record;
  return {
    job,
    attempt: record.attempt + (isRetry ? 1 : 0),
    step: 'claim',
    phase: 'intent',
    swapped: false,
    steps: [],
    warnings,
    ...(sourceSignature ? { sourceSignature } : {}),
    ...(claimed ? { claimed } : {}),
    ...(backupOfOurs ? { backupOfOurs } : {}),
  };
}

function nothingToUndo(): DropbackError {
  return new DropbackError('request/nothing-to-undo', 'no previous database is kept', {
    hint: 'restore a backup instead: dropback list shows them.',
  });
}
