import { isAhead, notAhead } from '../core/archive/newest.ts';
import {
  type BackupStatus,
  ownFolder,
  type RehearsedBackup,
} from '../core/requests/backup-status.ts';
import { Doubts } from '../core/requests/doubts.ts';
import { isAbort } from '../core/runtime/errors.ts';
import { giveMemoryBack } from '../core/runtime/give-memory-back.ts';
import type { Place } from '../core/runtime/turnstile.ts';
import { BackupAlerts } from './backup-alerts.ts';
import type { BackupDependencies } from './dependencies.ts';
import { BackupHistory } from './history.ts';
import { type PruneOutcome, prune } from './prune.ts';
import { RemoteCopies } from './remote-copies.ts';
import { BackupRun } from './run.ts';
import { RunMarks } from './run-marks.ts';
import { nextRun, overdueAfter, type ScheduleFacts } from './schedule.ts';
import { StatusFile } from './status-file.ts';
import { tellFinished } from './tell-finished.ts';
import { UntoldRuns } from './untold-runs.ts';
import { VerifyLoop } from './verify/loop.ts';
import { waitForDatabase } from './wait-for-database.ts';

/** Looks at the wall clock at least this often: it may jump, and the machine may have slept. */
const LONGEST_NAP_MS = 30_000;

/** The loop of db-backup for one database: due → run → upload, prune → due. */
export class BackupDaemon {
  readonly #deps: BackupDependencies;
  readonly #run: BackupRun;
  readonly #remote: RemoteCopies | undefined;
  readonly #rehearsals: VerifyLoop | undefined;
  readonly #statusFile: StatusFile;
  readonly #alerts: BackupAlerts;
  #startedAt: Date;
  readonly #history: BackupHistory;
  readonly #marks: RunMarks;
  readonly #untold: UntoldRuns;
  readonly #toldRefusals = new Set<string>();
  #state: BackupStatus['state'] = 'waiting for the database';
  #lastAttempt: Date | undefined;
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
    const folder = ownFolder(config.backupDir, config.name);
    this.#history = new BackupHistory(folder, deps);
    this.#marks = new RunMarks(folder, deps);
    this.#untold = new UntoldRuns({
      marks: this.#marks,
      history: this.#history,
      alerts,
      log: deps.log,
    });
    this.#doubts = new Doubts(folder, deps.local);
    this.#statusFile = new StatusFile(folder, deps.log);
    if (remote) {
      const pruned = (signal: AbortSignal) => this.#prune(signal);
      this.#remote = new RemoteCopies({ ...deps, remote, alerts, prune: pruned });
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
    await this.#history.readFailure();
    await this.#readDoubts();
    const over = new AbortController();
    const beside = this.#besides(AbortSignal.any([signal, over.signal]));
    try {
      await this.#history.readLastGood(signal);
      // Now, and not by a thousand daemons at once when they are all asked to end.
      await this.#keepStatus();
      await this.#untold.tellAtStart(signal);
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
    await Promise.all([this.#remote?.run(signal), this.#rehearsals?.run(signal)]);
  }

  status(): BackupStatus {
    const { config, engine } = this.#deps;
    const { lastGood, lastFailure, failures } = this.#history;
    const facts = this.#facts();
    return {
      program: 'db-backup',
      name: config.name,
      database: engine.description,
      state: this.#state,
      startedAt: this.#startedAt.toISOString(),
      nextRunAt: nextRun(config, facts).toISOString(),
      ...(lastGood ? { lastGood } : {}),
      ...(lastFailure ? { lastFailure } : {}),
      failuresSinceGood: failures,
      uploadBacklog: this.#remote?.backlog ?? 0,
      ...(this.#remote?.oldest ? { oldestNotUploaded: this.#remote.oldest } : {}),
      ...(this.#remote?.lastError ? { lastUploadError: this.#remote.lastError } : {}),
      ...(this.#remote?.unseen ? { copiesUnseen: this.#remote.unseen } : {}),
      ...(this.#remote?.sharedPlace ? { sharedPlace: this.#remote.sharedPlace } : {}),
      ...(this.#rehearsals ? { verification: this.#rehearsals.status() } : {}),
      ...(this.#inDoubt.length > 0 ? { inDoubt: this.#inDoubt } : {}),
      overdueAfter: overdueAfter(config, facts, config.timeoutMs).toISOString(),
    };
  }

  #facts(): ScheduleFacts {
    const now = this.#deps.clock.now();
    const { lastGood, failures } = this.#history;
    // Noted under a clock that has been set back since, they would put off the next run, and hide that it
    // is overdue, for as long.
    this.#startedAt = notAhead(this.#startedAt, now);
    if (this.#lastAttempt) this.#lastAttempt = notAhead(this.#lastAttempt, now);
    return {
      now,
      startedAt: this.#startedAt,
      failures,
      ...(lastGood ? { lastGood: new Date(lastGood.createdAt) } : {}),
      ...(this.#lastAttempt ? { lastAttempt: this.#lastAttempt } : {}),
    };
  }

  /** Of `dropback verify` too; what the rehearsals here find is told by them. */
  async #readDoubts(): Promise<void> {
    this.#inDoubt = await this.#doubts.read().catch(() => this.#inDoubt);
    const told = this.#inDoubt.filter(({ onSchedule }) => !(onSchedule && this.#rehearsals));
    await this.#alerts.inDoubt(told);
  }

  async #keepStatus(): Promise<void> {
    await this.#statusFile.keep(this.status());
  }

  async #prune(signal: AbortSignal): Promise<PruneOutcome> {
    await this.#history.readFailure();
    return await prune(this.#deps, this.#history.lastRunFailed, signal, this.#toldRefusals);
  }

  /** What other processes have found and done meanwhile. */
  async #lookAround(signal: AbortSignal): Promise<void> {
    await this.#history.readFailure();
    await this.#readDoubts();
    await this.#lookForOthers(signal);
    await this.#untold.tell(signal);
    await this.#alerts.lookAtUploads(this.status(), this.#deps.clock.now());
  }

  /** A backup that somebody else has made: `dropback backup`, another daemon. */
  async #lookForOthers(signal: AbortSignal): Promise<void> {
    const { local, log, clock } = this.#deps;
    try {
      await this.#remote?.takeOver();
      const now = clock.now();
      const newest = await local.newest(now);
      const { lastGood } = this.#history;
      if (!newest || newest.id === lastGood?.id) return;
      const known = new Date(lastGood?.createdAt ?? 0);
      if (!isAhead(known, now) && new Date(newest.createdAt) <= known) return;
      this.#history.foundGood(newest);
      this.#remote?.watch(newest);
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
      await this.#lookAround(signal);
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
    await using _mark = await this.#marks.begin();
    try {
      const finished = await this.#run.execute(signal, undefined, place);
      await this.#history.succeeded(finished.manifest);
      tellFinished(finished, log);
      await this.#alerts.runSucceeded(finished.manifest, signal);
      if (this.#remote) this.#remote.add(finished);
      else await this.#prune(signal);
      this.#rehearsals?.wake();
    } catch (error) {
      if (signal.aborted) throw error;
      await this.#history.failed(error);
      const { failures, lastGood } = this.#history;
      log.error({ error, failures }, 'backup failed');
      await this.#alerts.runFailed(error, failures, lastGood?.id);
    }
  }
}
