import { ownFolder } from '../core/requests/backup-status.ts';
import { isAbort } from '../core/runtime/errors.ts';
import { BackupAlerts } from './backup-alerts.ts';
import type { BackupDependencies } from './dependencies.ts';
import { BackupHistory } from './history.ts';
import { prune } from './prune.ts';
import { BackupRun, type FinishedRun, type RunProgress } from './run.ts';
import { RunMarks } from './run-marks.ts';
import { sweepNotes } from './sweep-notes.ts';
import { tellFinished } from './tell-finished.ts';
import { notRehearsed, notUploaded } from './unfinished.ts';
import { UntoldRuns } from './untold-runs.ts';
import { Uploads } from './uploads.ts';
import { waitForDatabase } from './wait-for-database.ts';

type Told = (progress: RunProgress) => void;

/** A database that has just been started answers after some of them. */
const ATTEMPTS = 5;

/** One backup, now, uploaded, rehearsed and pruned before it returns: `dropback backup`, `db-backup --once`. */
export class SingleBackup {
  readonly #deps: BackupDependencies;
  readonly #alerts: BackupAlerts;
  readonly #history: BackupHistory;
  readonly #marks: RunMarks;
  readonly #folder: string;

  constructor(deps: BackupDependencies) {
    this.#deps = deps;
    this.#alerts = new BackupAlerts(deps);
    this.#folder = ownFolder(deps.config.backupDir, deps.config.name);
    this.#history = new BackupHistory(this.#folder, deps);
    this.#marks = new RunMarks(this.#folder, deps);
  }

  /** Throws what went wrong; a failed upload or rehearsal too, though the backup itself is then listed. */
  async execute(signal: AbortSignal, onProgress: Told = () => {}): Promise<FinishedRun> {
    await this.#lookBack(signal);
    await using _mark = await this.#marks.begin();
    const finished = await this.#run(signal, onProgress);
    await this.#history.succeeded(finished.manifest);
    tellFinished(finished, this.#deps.log);
    await this.#alerts.runSucceeded(finished.manifest, signal);
    await this.#upload(finished, signal, onProgress);
    await this.#rehearse(finished, signal, onProgress);
    await this.#prune(signal);
    return finished;
  }

  /** What is lost counts as not uploaded: it goes up with the next backup, or by the daemon. */
  async #prune(signal: AbortSignal): Promise<void> {
    const { remote } = this.#deps;
    const { lost } = await prune(this.#deps, false, signal);
    if (remote) await this.#alerts.copiesLost(lost, remote.description);
  }

  /** At what earlier processes have left. Unfinished runs, where nobody can be told here, stay for whoever can. */
  async #lookBack(signal: AbortSignal): Promise<void> {
    const { alerts, log } = this.#deps;
    const history = this.#history;
    await history.readFailure();
    // Nothing is lost by what stays.
    await sweepNotes(this.#folder).catch(() => {});
    try {
      await history.readLastGood(signal);
    } catch (error) {
      if (isAbort(error)) throw error;
      log.debug({ error }, 'the folder could not be read');
    }
    const parts = { marks: this.#marks, history, alerts: this.#alerts, log };
    if (alerts) await new UntoldRuns(parts).tellAtStart(signal);
  }

  async #run(signal: AbortSignal, onProgress: Told): Promise<FinishedRun> {
    const onPostHook = (error?: unknown) => void this.#alerts.postHookEnded(error);
    this.#alerts.runStarted();
    try {
      await waitForDatabase({ ...this.#deps, attempts: ATTEMPTS }, signal);
      return await new BackupRun({ ...this.#deps, onPostHook }).execute(signal, onProgress);
    } catch (error) {
      if (signal.aborted) throw error;
      await this.#history.failed(error);
      await this.#alerts.runFailed(error, 1, this.#history.lastGood?.id);
      throw error;
    }
  }

  /**
   * Throws where this backup, or any for want of the store, isn't uploaded; an older one that can't
   * be for a reason of its own is told.
   */
  async #upload({ manifest, upload }: FinishedRun, signal: AbortSignal, onProgress: Told) {
    const { remote } = this.#deps;
    if (!remote) return;
    onProgress({ step: 'upload', message: 'uploading' });
    const uploads = new Uploads({ ...this.#deps, remote });
    const away = upload && (await uploads.finishEarly(manifest, upload, signal));
    const result = away ? undefined : await uploads.drain(signal);
    const error = away ?? result?.error;
    if (!error) return await this.#alerts.uploadsDrained();
    const remaining = result?.remaining ?? (await uploads.backlog(signal)).map(({ id }) => id);
    await this.#alerts.uploadsFailed(error, remaining.length, Number.POSITIVE_INFINITY);
    const isWaiting = remaining.includes(manifest.id);
    if (error.code === 'store/full') await this.#prune(signal);
    if (isWaiting || result?.cutShort) {
      throw notUploaded(isWaiting ? manifest.id : (remaining[0] ?? manifest.id), error);
    }
  }

  /** With BACKUP_VERIFY=restore and no times of its own. */
  async #rehearse({ manifest }: FinishedRun, signal: AbortSignal, onProgress: Told) {
    const { config, verifier } = this.#deps;
    if (config.verify.mode !== 'restore' || config.verify.schedule) return;
    const told = (message: string) => onProgress({ step: 'rehearse', message });
    const report = await verifier.rehearse({ manifest, where: 'local' }, told, signal);
    await this.#alerts.rehearsed(report);
    const { status, error } = report;
    if (status !== 'ok' && error) throw notRehearsed(manifest.id, status, error);
  }
}
