import type { Manifest } from '../core/archive/manifest.ts';
import { isAhead, newestBackup, notAhead } from '../core/archive/newest.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { BackupEngine } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import {
  type BackupStatus,
  type FailedRun,
  lastRunFailed,
  ownFolder,
  type RehearsedBackup,
} from '../core/requests/backup-status.ts';
import { Doubts } from '../core/requests/doubts.ts';
import { noteFailedRun, noteResolved, readFailedRun } from '../core/requests/failed-run.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { errorReport, isAbort } from '../core/runtime/errors.ts';
import { giveMemoryBack } from '../core/runtime/give-memory-back.ts';
import type { Place, Turnstile } from '../core/runtime/turnstile.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { S3Store } from '../core/stores/s3/store.ts';
import { type AlertDependencies, BackupAlerts } from './backup-alerts.ts';
import { ForeignUploads } from './foreign-uploads.ts';
import { prune } from './prune.ts';
import { BackupRun, type FinishedRun, type RunDependencies, type RunProgress } from './run.ts';
import { nextRun, overdueAfter, type ScheduleFacts } from './schedule.ts';
import { StatusFile } from './status-file.ts';
import { notRehearsed, notUploaded } from './unfinished.ts';
import { UploadLoop } from './upload-loop.ts';
import { Uploads } from './uploads.ts';
import { VerifyLoop } from './verify/loop.ts';
import type { Verifier } from './verify/verifier.ts';
import { waitForDatabase } from './wait-for-database.ts';

export interface BackupDependencies extends AlertDependencies {
  readonly config: BackupConfig;
  readonly engine: BackupEngine;
  readonly local: LocalStore;
  readonly remote?: S3Store;
  readonly startEarlyUpload?: NonNullable<RunDependencies['startEarlyUpload']>;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where several databases are backed up, uploaded and rehearsed: not all at once. */
  readonly turns?: BackupTurns;
  readonly version: string;
}

export interface BackupTurns {
  readonly dumps: Turnstile;
  readonly rehearsals: Turnstile;
  /** Whatever asks the remote store: uploads, its sweep at the start, retention there. */
  readonly uploads: Turnstile;
}

/** Looks at the wall clock at least this often: it may jump, and the machine may have slept. */
const LONGEST_NAP_MS = 30_000;
const TIDY_EVERY_MS = 86_400_000;

/** The loop of db-backup for one database: due → run → upload, prune → due. */
export class BackupDaemon {
  readonly #deps: BackupDependencies;
  readonly #run: BackupRun;
  readonly #uploads: Uploads | undefined;
  readonly #loop: UploadLoop | undefined;
  readonly #foreign: ForeignUploads | undefined;
  readonly #rehearsals: VerifyLoop | undefined;
  readonly #statusFile: StatusFile;
  readonly #alerts: BackupAlerts;
  #startedAt: Date;
  readonly #ownFolder: string;
  readonly #toldRefusals = new Set<string>();
  #state: BackupStatus['state'] = 'waiting for the database';
  #lastGood: BackupStatus['lastGood'];
  #lastFailure: FailedRun | undefined;
  /** Where the disk doesn't take the note. */
  #unnoted: FailedRun | undefined;
  #lastAttempt: Date | undefined;
  #failures = 0;
  #tidiedAt = Number.NEGATIVE_INFINITY;
  #inDoubt: readonly RehearsedBackup[] = [];
  readonly #doubts: Doubts;

  constructor(deps: BackupDependencies) {
    this.#deps = deps;
    this.#startedAt = deps.clock.now();
    const alerts = new BackupAlerts(deps);
    this.#alerts = alerts;
    const onPostHook = (error?: unknown) => void alerts.postHookEnded(error);
    this.#run = new BackupRun({ ...deps, onPostHook });
    const { remote, config, turns } = deps;
    this.#ownFolder = ownFolder(config.backupDir, config.name);
    this.#doubts = new Doubts(this.#ownFolder, deps.local);
    this.#statusFile = new StatusFile(this.#ownFolder, deps.log);
    if (remote) {
      this.#uploads = new Uploads({ ...deps, remote });
      this.#foreign = new ForeignUploads({ ...deps, remote });
      this.#loop = new UploadLoop({
        ...deps,
        uploads: this.#uploads,
        ...(turns ? { turnstile: turns.uploads } : {}),
        onDrained: async (left, signal) => {
          if (left === 0) await alerts.uploadsDrained();
          await this.#prune(signal);
          await this.#tidyRemote(signal);
        },
        onBehind: (error, backlog, failures) => void alerts.uploadsFailed(error, backlog, failures),
      });
    }
    if (config.verify.mode === 'restore') {
      const onChange = () => void this.#keepStatus();
      this.#rehearsals = new VerifyLoop({
        ...deps,
        verify: config.verify,
        ...(turns ? { turnstile: turns.rehearsals } : {}),
        onChange,
        onReport: (report) => void alerts.rehearsed(report),
      });
    }
  }

  /**
   * Until the signal fires; never ends because of a failed backup. `isUp`: the database has just
   * answered, and isn't waited for.
   */
  async serve(signal: AbortSignal, { isUp = false } = {}): Promise<void> {
    await this.#readFailures();
    await this.#readDoubts();
    const over = new AbortController();
    const beside = this.#besides(AbortSignal.any([signal, over.signal]));
    try {
      await this.#readLastGood(signal);
      if (!isUp) await this.#waitForDatabase(signal);
      while (!signal.aborted) {
        this.#state = 'idle';
        await this.#keepStatus();
        await this.#sleepUntilDue(signal);
        await this.#attempt(signal);
        giveMemoryBack();
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    } finally {
      over.abort();
      await beside;
      await this.#keepStatus();
    }
  }

  async #waitForDatabase(signal: AbortSignal): Promise<void> {
    const onWaiting = (error: unknown, attempt: number) =>
      void this.#alerts.databaseIsAway(error, attempt);
    await waitForDatabase({ ...this.#deps, onWaiting }, signal);
  }

  /** What goes on beside the schedule. */
  async #besides(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#upload(signal), this.#rehearsals?.run(signal)]);
  }

  async #upload(signal: AbortSignal): Promise<void> {
    const { remote, turns } = this.#deps;
    if (!remote) return;
    const tidy = () => this.#tidyRemote(signal);
    // Aborted while it waits for its turn: the loop ends by itself then.
    await (turns ? turns.uploads.pass(tidy, signal).catch(() => {}) : tidy());
    await this.#loop?.run(signal);
  }

  /**
   * One backup, now, uploaded, rehearsed and pruned before it returns. Throws what went wrong; a
   * failed upload or rehearsal too, though the backup itself is then listed.
   */
  async once(
    signal: AbortSignal,
    onProgress?: (progress: RunProgress) => void,
  ): Promise<FinishedRun> {
    this.#alerts.runStarted();
    let finished: FinishedRun;
    try {
      await waitForDatabase({ ...this.#deps, attempts: 5 }, signal);
      finished = await this.#run.execute(signal, onProgress);
    } catch (error) {
      if (signal.aborted) throw error;
      await this.#noteFailure(error);
      await this.#alerts.runFailed(error, 1, this.#lastGood?.id);
      throw error;
    }
    await this.#tellFinished(finished);
    await this.#alerts.runSucceeded(finished.manifest, signal);
    if (this.#uploads) {
      onProgress?.({ step: 'upload', message: 'uploading' });
      await this.#uploadNow(finished, this.#uploads, signal);
    }
    await this.#rehearseNow(finished, signal, onProgress);
    await prune(this.#deps, false, signal);
    return finished;
  }

  status(): BackupStatus {
    const { config, engine } = this.#deps;
    const facts = this.#facts();
    return {
      program: 'db-backup',
      name: config.name,
      database: engine.description,
      state: this.#state,
      startedAt: this.#startedAt.toISOString(),
      nextRunAt: nextRun(config, facts).toISOString(),
      ...(this.#lastGood ? { lastGood: this.#lastGood } : {}),
      ...(this.#lastFailure ? { lastFailure: this.#lastFailure } : {}),
      failuresSinceGood: this.#failures,
      uploadBacklog: this.#loop?.backlog ?? 0,
      ...(this.#loop?.lastError ? { lastUploadError: this.#loop.lastError } : {}),
      ...(this.#rehearsals ? { verification: this.#rehearsals.status() } : {}),
      ...(this.#inDoubt.length > 0 ? { inDoubt: this.#inDoubt } : {}),
      overdueAfter: overdueAfter(config, facts, config.timeoutMs).toISOString(),
    };
  }

  #facts(): ScheduleFacts {
    const now = this.#deps.clock.now();
    // Noted under a clock that has been set back since, they would put off the next run, and hide that it
    // is overdue, for as long.
    this.#startedAt = notAhead(this.#startedAt, now);
    if (this.#lastAttempt) this.#lastAttempt = notAhead(this.#lastAttempt, now);
    return {
      now,
      startedAt: this.#startedAt,
      failures: this.#failures,
      ...(this.#lastGood ? { lastGood: new Date(this.#lastGood.createdAt) } : {}),
      ...(this.#lastAttempt ? { lastAttempt: this.#lastAttempt } : {}),
    };
  }

  /** Once a day: uploads that were left half done in an outage or a crash, removals left unfinished. */
  async #tidyRemote(signal: AbortSignal): Promise<void> {
    const { remote, clock, log } = this.#deps;
    if (clock.monotonic() - this.#tidiedAt < TIDY_EVERY_MS) return;
    this.#tidiedAt = clock.monotonic();
    try {
      const report = await remote?.sweep(signal);
      for (const key of report?.abortedUploads ?? []) log.info({ key }, 'gave up a stale upload');
    } catch (error) {
      if (!isAbort(error)) log.warn({ error }, 'the remote store could not be tidied up');
    }
  }

  /**
   * Of the daemon before this one, and of `dropback backup`; nothing is pruned until a run has gone
   * well again.
   */
  async #readFailures(): Promise<void> {
    const known = await readFailedRun(this.#ownFolder).catch(() => undefined);
    this.#lastFailure = this.#unnoted ?? known ?? this.#lastFailure;
  }

  /** Of `dropback verify` too; what the rehearsals here find is told by them. */
  async #readDoubts(): Promise<void> {
    this.#inDoubt = await this.#doubts.read().catch(() => this.#inDoubt);
    for (const doubt of this.#inDoubt) {
      if (doubt.kind === 'archive' || !this.#rehearsals) await this.#alerts.inDoubt(doubt);
    }
  }

  async #noteFailure(error: unknown): Promise<void> {
    const failure = { at: this.#deps.clock.now().toISOString(), error: errorReport(error) };
    this.#lastFailure = failure;
    this.#unnoted = undefined;
    await noteFailedRun(this.#ownFolder, failure).catch((unnoted: unknown) => {
      this.#unnoted = failure;
      this.#deps.log.warn({ error: unnoted }, 'that a run failed could not be noted');
    });
  }

  /** Where it can't be noted that a failure is over, times tell, as long as they can be believed. */
  async #noteResolved(id: string): Promise<void> {
    this.#unnoted = undefined;
    if (this.#lastFailure) this.#lastFailure = { ...this.#lastFailure, resolvedBy: id };
    await noteResolved(this.#ownFolder, id).catch((unnoted: unknown) =>
      this.#deps.log.warn({ error: unnoted }, 'that a failure is over could not be noted'),
    );
  }

  async #keepStatus(): Promise<void> {
    await this.#statusFile.keep(this.status());
  }

  /**
   * For `once`. Throws where this backup, or any for want of the store, isn't uploaded; an older one
   * that can't be for a reason of its own is told.
   */
  async #uploadNow(
    { manifest, upload }: FinishedRun,
    uploads: Uploads,
    signal: AbortSignal,
  ): Promise<void> {
    const away = upload && (await uploads.finishEarly(manifest, upload, signal));
    const result = away ? undefined : await uploads.drain(signal);
    const error = away ?? result?.error;
    if (!error) return await this.#alerts.uploadsDrained();
    const remaining = result?.remaining ?? (await uploads.backlog(signal)).map(({ id }) => id);
    await this.#alerts.uploadsFailed(error, remaining.length, Number.POSITIVE_INFINITY);
    const isWaiting = remaining.includes(manifest.id);
    if (isWaiting || result?.cutShort) {
      throw notUploaded(isWaiting ? manifest.id : (remaining[0] ?? manifest.id), error);
    }
  }

  /** For `once`: with BACKUP_VERIFY=restore and no times of its own. */
  async #rehearseNow(
    { manifest }: FinishedRun,
    signal: AbortSignal,
    onProgress: (progress: RunProgress) => void = () => {},
  ): Promise<void> {
    const { config, verifier } = this.#deps;
    if (config.verify.mode !== 'restore' || config.verify.schedule) return;
    const told = (message: string) => onProgress({ step: 'rehearse', message });
    const report = await verifier.rehearse(manifest, 'local', told, signal);
    await this.#alerts.rehearsed(report);
    const { status, error } = report;
    if (status !== 'ok' && error) throw notRehearsed(manifest.id, status, error);
  }

  async #prune(signal: AbortSignal): Promise<void> {
    await this.#readFailures();
    const failed = lastRunFailed(
      this.#lastFailure,
      this.#lastGood?.createdAt,
      this.#deps.clock.now(),
    );
    await prune(this.#deps, failed, signal, this.#toldRefusals);
  }

  async #readLastGood(signal: AbortSignal): Promise<void> {
    const { local, clock, log } = this.#deps;
    const { backups } = await local.list(signal);
    const newest = newestBackup(backups, clock.now());
    if (newest) this.#noteGood(newest);
    const last = backups.at(-1);
    if (!last || last === newest) return;
    log.warn({ id: last.id }, 'a backup is dated ahead of the clock: the newest is the one before');
  }

  #noteGood({ id, createdAt, archive }: Manifest): void {
    this.#lastGood = { id, createdAt, bytes: archive.bytes };
  }

  /** A backup that somebody else has made meanwhile: `dropback backup`, another daemon. */
  async #lookForOthers(signal: AbortSignal): Promise<void> {
    const { local, log, clock } = this.#deps;
    await this.#readFailures();
    await this.#readDoubts();
    try {
      for (const left of (await this.#foreign?.abandoned()) ?? []) this.#loop?.add(left, undefined);
      const now = clock.now();
      const newest = await local.newest(now);
      if (!newest || newest.id === this.#lastGood?.id) return;
      const known = new Date(this.#lastGood?.createdAt ?? 0);
      if (!isAhead(known, now) && new Date(newest.createdAt) <= known) return;
      this.#noteGood(newest);
      this.#foreign?.watch(newest);
      this.#failures = 0;
      log.info({ id: newest.id }, 'a backup that was not made by this daemon counts too');
      await this.#alerts.recovered(newest);
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) log.debug({ error }, 'the folder could not be read');
    }
  }

  async #sleepUntilDue(signal: AbortSignal): Promise<void> {
    const { clock, config, log } = this.#deps;
    let told = '';
    for (;;) {
      const due = nextRun(config, this.#facts());
      const left = due.getTime() - clock.now().getTime();
      if (left <= 0) return;
      if (due.toISOString() !== told) {
        told = due.toISOString();
        log.info({ at: told }, 'next backup');
      }
      await clock.sleep(Math.min(left, LONGEST_NAP_MS), signal);
      await this.#lookForOthers(signal);
      await this.#keepStatus();
    }
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { turns } = this.#deps;
    if (!turns) return await this.#attemptNow(signal);
    this.#state = 'waiting for its turn';
    await this.#keepStatus();
    await turns.dumps.pass((place) => this.#attemptNow(signal, place), signal);
  }

  async #attemptNow(signal: AbortSignal, place?: Place): Promise<void> {
    const { clock, log } = this.#deps;
    this.#state = 'running';
    this.#lastAttempt = clock.now();
    await this.#keepStatus();
    this.#alerts.runStarted();
    try {
      const finished = await this.#run.execute(signal, undefined, place);
      this.#failures = 0;
      await this.#tellFinished(finished);
      await this.#alerts.runSucceeded(finished.manifest, signal);
      if (this.#loop) this.#loop.add(finished.manifest, finished.upload);
      else await this.#prune(signal);
      this.#rehearsals?.wake();
    } catch (error) {
      if (signal.aborted) throw error;
      this.#failures += 1;
      await this.#noteFailure(error);
      log.error({ error, failures: this.#failures }, 'backup failed');
      await this.#alerts.runFailed(error, this.#failures, this.#lastGood?.id);
    }
  }

  async #tellFinished({ manifest, durations }: FinishedRun): Promise<void> {
    await this.#noteResolved(manifest.id);
    const { id, archive, tables, warnings } = manifest;
    this.#noteGood(manifest);
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    const facts = { id, bytes: archive.bytes, tables: tables.length, rows, ms: durations };
    this.#deps.log.info(facts, 'backup listed');
    for (const warning of warnings) this.#deps.log.warn({ id }, warning);
  }
}
