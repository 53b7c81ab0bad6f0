import type { Manifest } from '../core/archive/manifest.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { type ErrorReport, errorReport, isAbort, toDropbackError } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { S3Store } from '../core/stores/s3/store.ts';
import type { BackupAlerts } from './backup-alerts.ts';
import type { BackupTurns } from './dependencies.ts';
import { ForeignUploads } from './foreign-uploads.ts';
import { type LostCopies, lookAtNewestCopy } from './lost-copies.ts';
import type { PruneOutcome } from './prune.ts';
import type { FinishedRun } from './run.ts';
import { UploadLoop } from './upload-loop.ts';
import { Uploads } from './uploads.ts';

export interface RemoteDependencies {
  readonly config: BackupConfig;
  readonly local: LocalStore;
  readonly remote: S3Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly turns?: BackupTurns;
  readonly alerts: BackupAlerts;
  /** Retention, whenever a round of uploads came to its end. */
  readonly prune: (signal: AbortSignal) => Promise<PruneOutcome>;
}

/** A bucket that was emptied is not found out by the next upload alone, which may be days away. */
const LOOK_EVERY_MS = 3_600_000;
const TOLERATED_LOOKS = 3;
const TIDY_EVERY_MS = 86_400_000;

/** The remote store's part of db-backup, beside the schedule: uploads, and what they leave behind. */
export class RemoteCopies {
  readonly #deps: RemoteDependencies;
  readonly #loop: UploadLoop;
  readonly #foreign: ForeignUploads;
  #tidiedAt = Number.NEGATIVE_INFINITY;
  #isShared = false;
  #unseen: ErrorReport | undefined;
  #blindLooks = 0;

  constructor(deps: RemoteDependencies) {
    this.#deps = deps;
    const { alerts, turns } = deps;
    this.#foreign = new ForeignUploads(deps);
    this.#loop = new UploadLoop({
      clock: deps.clock,
      log: deps.log,
      uploads: new Uploads(deps),
      ...(turns ? { turnstile: turns.uploads } : {}),
      onRoundEnd: async (left, signal) => {
        if (left === 0) await alerts.uploadsDrained();
        await this.#pruned(await deps.prune(signal));
        await this.#tidy(signal);
      },
      onBehind: (error, backlog, failures) => void alerts.uploadsFailed(error, backlog, failures),
    });
  }

  get backlog(): number {
    return this.#loop.backlog;
  }

  /** When the oldest of them was made; ISO 8601. */
  get oldest(): string | undefined {
    return this.#loop.oldest;
  }

  get lastError(): ErrorReport | undefined {
    return this.#loop.lastError;
  }

  /** Where another db-backup writes there under the same name: which place. */
  get sharedPlace(): string | undefined {
    return this.#isShared ? this.#deps.remote.description : undefined;
  }

  /** Why nobody can see whether the newest copy is still there. */
  get unseen(): ErrorReport | undefined {
    return this.#unseen;
  }

  /** Until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    const { turns } = this.#deps;
    const tidy = () => this.#tidy(signal);
    // Aborted while it waits for its turn: the loop ends by itself then.
    await (turns ? turns.uploads.pass(tidy, signal).catch(() => {}) : tidy());
    await Promise.all([this.#loop.run(signal), this.#watchNewest(signal)]);
  }

  add({ manifest, upload }: FinishedRun): void {
    this.#loop.add(manifest, upload);
  }

  /** Made by another process, which uploads it itself. */
  watch(manifest: Manifest): void {
    this.#foreign.watch(manifest);
  }

  /** What other processes made and didn't upload. Throws what the file system says. */
  async takeOver(): Promise<void> {
    for (const manifest of await this.#foreign.abandoned()) this.#loop.add(manifest, undefined);
  }

  async #watchNewest(signal: AbortSignal): Promise<void> {
    const { turns, clock } = this.#deps;
    const look = () => this.#look(signal);
    try {
      for (;;) {
        await clock.sleep(LOOK_EVERY_MS, signal);
        await (turns ? turns.uploads.pass(look, signal) : look());
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  /** A bucket that is gone, or keys that are valid no longer, come out before the next upload. */
  async #look(signal: AbortSignal): Promise<void> {
    const { alerts, log } = this.#deps;
    try {
      await this.#goesUpAgain(await lookAtNewestCopy(this.#deps, signal));
      this.#unseen = undefined;
      this.#blindLooks = 0;
      await alerts.copiesSeen();
    } catch (error) {
      if (isAbort(error)) throw error;
      this.#blindLooks += 1;
      const known = toDropbackError(error);
      // An outage of an hour is not worth a message.
      if (known.retryable && this.#blindLooks < TOLERATED_LOOKS) return;
      this.#unseen = errorReport(known);
      log.warn({ error: this.#unseen }, 'whether the newest copy is still there could not be seen');
      await alerts.copiesUnseen(this.#unseen);
    }
  }

  async #pruned({ lost, isShared }: PruneOutcome): Promise<void> {
    await this.#goesUpAgain(lost);
    // Undefined where nobody has looked.
    if (isShared === undefined) return;
    this.#isShared = isShared;
    await this.#deps.alerts.placeIs(isShared ? 'shared' : 'own', this.#deps.remote.description);
  }

  async #goesUpAgain(lost: LostCopies): Promise<void> {
    for (const manifest of lost.again) this.#loop.add(manifest, undefined);
    await this.#deps.alerts.copiesLost(lost, this.#deps.remote.description);
  }

  /** Once a day: uploads that were left half done in an outage or a crash, removals left unfinished. */
  async #tidy(signal: AbortSignal): Promise<void> {
    const { remote, clock, log } = this.#deps;
    if (clock.monotonic() - this.#tidiedAt < TIDY_EVERY_MS) return;
    this.#tidiedAt = clock.monotonic();
    try {
      const { abortedUploads } = await remote.sweep(signal);
      for (const key of abortedUploads) log.info({ key }, 'gave up a stale upload');
    } catch (error) {
      if (!isAbort(error)) log.warn({ error }, 'the remote store could not be tidied up');
    }
  }
}
