import { dirname } from 'node:path';
import { type Alerts, noAlerts } from '../core/alerts/alert.ts';
import type { HooksConfig, RestoreConfig } from '../core/config/config.ts';
import type { ContainerTurn } from '../core/containers/turns.ts';
import type { RestoreEngine } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import type { RestoreDaemonStatus } from '../core/requests/daemon-status.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { isAbort, throwIfAborted } from '../core/runtime/errors.ts';
import { giveMemoryBack } from '../core/runtime/give-memory-back.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import type { Checkpoint } from './checkpoint.ts';
import { ensureFolders, type Folders, foldersOf } from './drop-folder/folders.ts';
import { DropWatcher } from './drop-folder/watch.ts';
import { Gates } from './gates.ts';
import { Housekeeping } from './housekeeping.ts';
import { type InstanceLock, lockInstance } from './instance-lock.ts';
import { Intake } from './intake.ts';
import type { JobRecord } from './journal/record.ts';
import { machineParts } from './machine-parts.ts';
import { notePrevious } from './note-previous.ts';
import type { ApplicationControl, BackupCatalogue, MachineParts } from './parts.ts';
import { RecoveryLoop } from './recovery-loop.ts';
import { RequestInbox } from './requests/inbox.ts';
import { type Noticing, noticing } from './requests/noticing.ts';
import { RestoreNews } from './restore-news.ts';
import { StatusBoard } from './status-board.ts';
import { Wake } from './wake.ts';
import { Worker } from './worker.ts';

export type RestoreDaemonConfig = Partial<Pick<RestoreConfig, 'name' | 'isOneOfSeveral'>> &
  Pick<
    RestoreConfig,
    | 'watchDir'
    | 'stateFile'
    | 'pollIntervalMs'
    | 'settleMs'
    | 'stopFirst'
    | 'keepPreviousMs'
    | 'waitForBackupMs'
    | 'timeoutMs'
    | 'ageIdentity'
  >;

export interface RestoreDaemonParts {
  readonly config: RestoreDaemonConfig;
  readonly engine: RestoreEngine;
  readonly application: ApplicationControl;
  readonly catalogue: BackupCatalogue;
  readonly hooks?: HooksConfig;
  /** What hooks are neither told nor quoted with. */
  readonly secrets?: readonly string[];
  readonly alerts?: Alerts;
  /** Default: this daemon sees to it itself that no other works on the folders. */
  readonly lock?: InstanceLock;
  /** Where other databases' restores may stop the same containers. */
  readonly turn?: ContainerTurn;
  /** Where many databases' daemons begin together: how many of them tidy up at the same time. */
  readonly tidying?: Turnstile;
  /** Called once no other daemon works on the folders. */
  readonly onAlone?: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly checkpoint?: Checkpoint;
}

/** A file must be unchanged so long before it is looked at. Milliseconds. */
const QUIET_MS = 1000;
/**
 * The restore daemon: lock, recovery, then drops and requests one at a time in order of arrival.
 * `run` settles when the signal has fired and the job in hand is finished or undone.
 */
export class RestoreDaemon {
  readonly #config: RestoreDaemonConfig;
  readonly #folders: Folders;
  readonly #parts: MachineParts;
  readonly #board: StatusBoard;
  readonly #inbox: RequestInbox;
  readonly #watcher: DropWatcher;
  readonly #gates: Gates;
  readonly #housekeeping: Housekeeping;
  readonly #worker: Worker;
  readonly #intake: Intake;
  readonly #noticing: Noticing;
  readonly #recovery: RecoveryLoop;
  readonly #onAlone: (() => Promise<void>) | undefined;
  readonly #lock: InstanceLock | undefined;
  #nextHousekeeping = Number.NEGATIVE_INFINITY;

  constructor(given: RestoreDaemonParts) {
    const { config, clock, log } = given;
    this.#config = config;
    this.#onAlone = given.onAlone;
    this.#lock = given.lock;
    this.#folders = foldersOf(config);
    const news = new RestoreNews(given.alerts ?? noAlerts);
    this.#board = new StatusBoard(this.#folders.requests, clock, log, news);
    this.#parts = machineParts(given, this.#folders, { board: this.#board, news });
    this.#inbox = new RequestInbox(this.#folders.requests, clock);
    const wake = new Wake(clock);
    this.#watcher = new DropWatcher({
      folders: this.#folders,
      pollIntervalMs: config.pollIntervalMs,
      quietMs: QUIET_MS,
      settleMs: config.settleMs,
      clock,
      log,
      onChange: () => wake.wake(),
    });
    this.#gates = new Gates(this.#parts, this.#board);
    this.#worker = new Worker(this.#parts, this.#inbox, this.#board);
    const { pollIntervalMs } = config;
    this.#noticing = { inbox: this.#inbox, pollIntervalMs, clock, log };
    this.#recovery = new RecoveryLoop(this.#parts, {
      board: this.#board,
      worker: this.#worker,
      noticing: this.#noticing,
    });
    this.#intake = new Intake(config, {
      parts: this.#parts,
      board: this.#board,
      inbox: this.#inbox,
      watcher: this.#watcher,
      gates: this.#gates,
      worker: this.#worker,
      wake,
    });
    this.#housekeeping = new Housekeeping(this.#parts, this.#gates, this.#inbox, this.#board);
  }

  status(): RestoreDaemonStatus {
    return this.#board.snapshot();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    // Without them there is nowhere to say anything.
    await ensureFolders(this.#folders);
    try {
      this.#board.state = 'waiting-for-other-daemon';
      await using lock =
        this.#lock ?? (await lockInstance(dirname(this.#folders.incoming), clock, log, signal));
      await this.#onAlone?.();
      await this.#intake.load();
      const running = AbortSignal.any([signal, lock.lost]);
      await this.#recoverUntilClean(running);
      log.info({ folder: this.#folders.incoming }, 'watching for drops');
      await this.#work(running);
      lock.lost.throwIfAborted();
    } catch (error) {
      if (!(isAbort(error) && signal.aborted)) throw error;
    } finally {
      this.#board.state = 'stopped';
      await this.#board.publish();
    }
  }

  /** Watching and working side by side: arrival is noticed while a restore runs. */
  async #work(signal: AbortSignal): Promise<void> {
    const ended = new AbortController();
    const watching = this.#watcher.run(AbortSignal.any([signal, ended.signal]));
    watching.catch((error: unknown) => {
      if (!isAbort(error)) this.#parts.log.error({ error }, 'watching ended');
    });
    try {
      this.#board.state = 'idle';
      for (;;) {
        throwIfAborted(signal);
        await this.#poll(signal);
        const record = await this.#intake.next(signal);
        if (!record) continue;
        await this.#runToEnd(record, signal);
        giveMemoryBack();
      }
    } finally {
      ended.abort();
      await watching.catch(() => {});
    }
  }

  async #runToEnd(first: JobRecord, signal: AbortSignal): Promise<void> {
    const isReported = await noticing(() => this.#runOne(first, signal), this.#noticing, signal);
    if (isReported) await this.#intake.noteIfLeft(first);
    await notePrevious(this.#parts, this.#board);
  }

  /** True when it came to its end here; not when it was returned, or left to recovery. */
  async #runOne(first: JobRecord, signal: AbortSignal): Promise<boolean> {
    for (let record = first; ; ) {
      const end = await this.#worker.run(record, signal);
      throwIfAborted(signal);
      if (end.kind === 'unresolved') await this.#recoverUntilClean(signal);
      if (end.kind !== 'again') return end.kind === 'reported';
      record = await this.#whenOpen(end.record, signal);
    }
  }

  /** A job that was begun is not left aside: it waits here until what it needs is back. */
  async #whenOpen(record: JobRecord, signal: AbortSignal): Promise<JobRecord> {
    while (!(await this.#gates.areOpenFor(record.job, signal))) {
      await this.#board.publish();
      await this.#parts.clock.sleep(Math.min(1000, this.#config.pollIntervalMs), signal);
    }
    return record;
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const now = this.#parts.clock.monotonic();
    if (now < this.#nextHousekeeping) return;
    this.#nextHousekeeping = now + this.#config.pollIntervalMs;
    await this.#housekeeping.run(signal);
  }

  async #recoverUntilClean(signal: AbortSignal): Promise<void> {
    const interrupted = await this.#recovery.run(signal);
    if (interrupted) await this.#runToEnd(await this.#whenOpen(interrupted, signal), signal);
    this.#recovery.settled();
  }
}
