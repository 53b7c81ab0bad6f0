import type { Manifest } from '../core/archive/manifest.ts';
import { newestBackup } from '../core/archive/newest.ts';
import type { Logger } from '../core/observability/log.ts';
import {
  type BackupStatus,
  type FailedRun,
  lastRunFailed,
} from '../core/requests/backup-status.ts';
import { noteFailedRun, noteResolved, readFailedRun } from '../core/requests/failed-run.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { errorReport } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';

export interface HistoryDependencies {
  readonly local: LocalStore;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How earlier runs ended, of this process and of others: noted in the database's own folder. */
export class BackupHistory {
  readonly #folder: string;
  readonly #deps: HistoryDependencies;
  #lastGood: BackupStatus['lastGood'];
  #lastFailure: FailedRun | undefined;
  /** Where the disk doesn't take the note. */
  #unnoted: FailedRun | undefined;
  #failures = 0;

  /** `folder`: `ownFolder`. */
  constructor(folder: string, deps: HistoryDependencies) {
    this.#folder = folder;
    this.#deps = deps;
  }

  get lastGood(): BackupStatus['lastGood'] {
    return this.#lastGood;
  }

  get lastFailure(): FailedRun | undefined {
    return this.#lastFailure;
  }

  /** In a row, of this process. */
  get failures(): number {
    return this.#failures;
  }

  /** Then nothing is pruned: until a run has gone well again. */
  get lastRunFailed(): boolean {
    return lastRunFailed(this.#lastFailure, this.#lastGood?.createdAt, this.#deps.clock.now());
  }

  /** Of the daemon before this one, and of `dropback backup`. */
  async readFailure(): Promise<void> {
    const known = await readFailedRun(this.#folder).catch(() => undefined);
    this.#lastFailure = this.#unnoted ?? known ?? this.#lastFailure;
  }

  /** Throws what the store says. */
  async readLastGood(signal: AbortSignal): Promise<void> {
    const { local, clock, log } = this.#deps;
    const { backups } = await local.list(signal);
    const newest = newestBackup(backups, clock.now());
    if (newest) this.#noteGood(newest);
    const last = backups.at(-1);
    if (!last || last === newest) return;
    log.warn({ id: last.id }, 'a backup is dated ahead of the clock: the newest is the one before');
  }

  async failed(error: unknown): Promise<void> {
    this.#failures += 1;
    await this.noteFailure(error);
  }

  /** Of a run that isn't one of this process. */
  async noteFailure(error: unknown): Promise<void> {
    const failure = { at: this.#deps.clock.now().toISOString(), error: errorReport(error) };
    this.#lastFailure = failure;
    this.#unnoted = undefined;
    await noteFailedRun(this.#folder, failure).catch((unnoted: unknown) => {
      this.#unnoted = failure;
      this.#deps.log.warn({ error: unnoted }, 'that a run failed could not be noted');
    });
  }

  /** Where it can't be noted that a failure is over, times tell, as long as they can be believed. */
  async succeeded(manifest: Manifest): Promise<void> {
    this.foundGood(manifest);
    this.#unnoted = undefined;
    const { id } = manifest;
    if (this.#lastFailure) this.#lastFailure = { ...this.#lastFailure, resolvedBy: id };
    await noteResolved(this.#folder, id).catch((unnoted: unknown) =>
      this.#deps.log.warn({ error: unnoted }, 'that a failure is over could not be noted'),
    );
  }

  /** Made by another process, which notes itself that a failure is over. */
  foundGood(manifest: Manifest): void {
    this.#failures = 0;
    this.#noteGood(manifest);
  }

  #noteGood({ id, createdAt, archive }: Manifest): void {
    this.#lastGood = { id, createdAt, bytes: archive.bytes };
  }
}
