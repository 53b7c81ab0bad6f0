import type { Manifest } from '../core/archive/manifest.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { type ErrorReport, isAbort } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { S3Store } from '../core/stores/s3/store.ts';
import type { BackupAlerts } from './backup-alerts.ts';
import type { BackupTurns } from './dependencies.ts';
import { ForeignUploads } from './foreign-uploads.ts';
import type { FinishedRun } from './run.ts';
import { UploadLoop } from './upload-loop.ts';
import { Uploads } from './uploads.ts';

export interface RemoteDependencies {
  readonly local: LocalStore;
  readonly remote: S3Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly turns?: BackupTurns;
  readonly alerts: BackupAlerts;
  /** Retention, whenever a round of uploads came to its end; returns what has to go up once more. */
  readonly prune: (signal: AbortSignal) => Promise<Manifest[]>;
}

const TIDY_EVERY_MS = 86_400_000;

/** The remote store's part of db-backup, beside the schedule: uploads, and what they leave behind. */
export class RemoteCopies {
  readonly #deps: RemoteDependencies;
  readonly #loop: UploadLoop;
  readonly #foreign: ForeignUploads;
  #tidiedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: RemoteDependencies) {
    this.#deps = deps;
    const { alerts, turns } = deps;
    this.#foreign = new ForeignUploads(deps);
    this.#loop = new UploadLoop({
      clock: deps.clock,
      log: deps.log,
      uploads: new Uploads(deps),
      ...(turns ? { turnstile: turns.uploads } : {}),
      onDrained: async (left, signal) => {
        if (left === 0) await alerts.uploadsDrained();
        for (const lost of await deps.prune(signal)) this.#loop.add(lost, undefined);
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

  /** Until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    const { turns } = this.#deps;
    const tidy = () => this.#tidy(signal);
    // Aborted while it waits for its turn: the loop ends by itself then.
    await (turns ? turns.uploads.pass(tidy, signal).catch(() => {}) : tidy());
    await this.#loop.run(signal);
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
