import { dirname } from 'node:path';
import { type Alerts, noAlerts } from '../core/alerts/alert.ts';
import type { HooksConfig, RestoreConfig } from '../core/config/config.ts';
import { journalPlace } from '../core/config/restore-places.ts';
import type { ContainerTurn } from '../core/containers/turns.ts';
import type { RestoreEngine } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import type { RestoreDaemonStatus } from '../core/requests/daemon-status.ts';
import { EXIT_CODES } from '../core/requests/protocol.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { DropbackError, isAbort, throwIfAborted } from '../core/runtime/errors.ts';
import { giveMemoryBack } from '../core/runtime/give-memory-back.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import { type Checkpoint, noCheckpoint } from './checkpoint.ts';
import { ensureFolders, type Folders, foldersOf } from './drop-folder/folders.ts';
import { ScriptLooks } from './drop-folder/script-looks.ts';
import { DropWatcher } from './drop-folder/watch.ts';
import { Gates } from './gates.ts';
import { Housekeeping } from './housekeeping.ts';
import { type InstanceLock, lockInstance } from './instance-lock.ts';
import { Intake } from './intake.ts';
import { Journal } from './journal/journal.ts';
import { PreviousRecords } from './journal/previous-records.ts';
import type { JobRecord } from './journal/record.ts';
import { StoppedFile } from './journal/stopped.ts';
import { notePrevious } from './note-previous.ts';
import type { ApplicationControl, BackupCatalogue, MachineParts } from './parts.ts';
import { recover } from './recovery.ts';
import { RequestInbox } from './requests/inbox.ts';
import { RestoreHooks } from './restore-hooks.ts';
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
/** What bringing things in order may take when the daemon is asked to end. Milliseconds. */
const END_GRACE_MS = 60_000;
/** Of which the containers, which may be ending, too: whoever ends us waits. Milliseconds. */
const START_GRACE_MS = 10_000;
const MOST_ATTEMPTS = 3;

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
  readonly #onAlone: (() => Promise<void>) | undefined;
  readonly #lock: InstanceLock | undefined;
  #nextHousekeeping = Number.NEGATIVE_INFINITY;

  constructor(given: RestoreDaemonParts) {
    const { config, clock, log } = given;
    const checkpoint = given.checkpoint ?? noCheckpoint;
    this.#config = config;
    this.#onAlone = given.onAlone;
    this.#lock = given.lock;
    this.#folders = foldersOf(config);
    const news = new RestoreNews(given.alerts ?? noAlerts);
    this.#board = new StatusBoard(this.#folders.requests, clock, log, news);
    this.#parts = machineParts(given, this.#folders, checkpoint, { board: this.#board, news });
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
    const isReported = await this.#noticing(() => this.#runOne(first, signal), signal);
    if (isReported) await this.#intake.noteIfLeft(first);
    await notePrevious(this.#parts, this.#board);
  }

  async #noticing<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const ended = new AbortController();
    const noticing = this.#noticeRequests(AbortSignal.any([signal, ended.signal]));
    try {
      return await work();
    } finally {
      ended.abort();
      await noticing;
    }
  }

  /** Who asks while a job or recovery is in hand learns that the request waits for its turn. */
  async #noticeRequests(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    while (!signal.aborted) {
      await clock.sleep(this.#config.pollIntervalMs, signal).catch(() => {});
      if (signal.aborted) return;
      await this.#inbox
        .pending()
        .catch((error: unknown) => log.debug({ error }, 'requests could not be looked at'));
    }
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

  /** Again and again while the disk or the database doesn't let it; blocked until a person acts. */
  async #recoverUntilClean(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#board.state = 'recovering';
      const next = await this.#noticing(() => this.#recoverOnce(attempt, signal), signal);
      if (next === 'clean') break;
      await this.#board.publish();
      if (next === 'not-yet' || next instanceof DropbackError) {
        await this.#tellWhoAsks(next);
        await this.#parts.clock.sleep(this.#config.pollIntervalMs, signal);
        continue;
      }
      await this.#runToEnd(await this.#whenOpen(next, signal), signal);
      break;
    }
    this.#board.solved('recovery', 'everything is in order');
    this.#board.last = this.#parts.journal.body.last ?? undefined;
    this.#board.state = 'idle';
  }

  /** Nothing is begun now: whoever asks learns why, and need not wait for a person to act. */
  async #tellWhoAsks(why: 'not-yet' | DropbackError): Promise<void> {
    try {
      const waiting = (await this.#inbox.pending()).map(({ request }) => request.id);
      if (why === 'not-yet') {
        const [problem] = this.#board.snapshot().problems;
        const message = `waiting: ${problem?.message ?? 'an interrupted restore comes first'}`;
        for (const id of waiting) await this.#inbox.progress(id, { state: 'queued', message });
        return;
      }
      for (const id of [...waiting, ...(await this.#inbox.unanswered())]) {
        await this.#worker.refuse(id, why, EXIT_CODES.tryAgain);
      }
    } catch (error) {
      this.#parts.log.debug({ error }, 'requests could not be answered');
    }
  }

  async #recoverOnce(
    attempt: number,
    signal: AbortSignal,
  ): Promise<JobRecord | 'clean' | 'not-yet' | DropbackError> {
    try {
      const end = await recover(this.#parts, signal, () => {});
      if (end.kind === 'blocked') {
        this.#board.state = 'blocked';
        this.#board.problem('recovery', end.error, 'restores are off');
        return end.error;
      }
      const record = end.kind === 'again' ? end.record : undefined;
      await this.#worker.answerInterrupted(record);
      return record ?? 'clean';
    } catch (error) {
      if (isAbort(error) && signal.aborted) throw error;
      this.#board.problem('recovery', error, `recovery: attempt ${attempt} failed; trying again`);
      return 'not-yet';
    }
  }
}

function machineParts(
  given: RestoreDaemonParts,
  folders: Folders,
  checkpoint: Checkpoint,
  telling: Pick<MachineParts, 'board' | 'news'>,
): MachineParts {
  const { config, engine, application, catalogue, clock, log } = given;
  return {
    engine,
    application,
    catalogue,
    folders,
    journal: new Journal(journalPlace(config), checkpoint),
    stopped: new StoppedFile(journalPlace(config), checkpoint),
    previous: new PreviousRecords(folders.previous, checkpoint),
    settings: {
      stopFirst: config.stopFirst,
      keepPreviousMs: config.keepPreviousMs,
      waitForBackupMs: config.waitForBackupMs,
      ...(config.timeoutMs === undefined ? {} : { timeoutMs: config.timeoutMs }),
      startGraceMs: START_GRACE_MS,
      endGraceMs: END_GRACE_MS,
      mostAttempts: MOST_ATTEMPTS,
    },
    identity: config.ageIdentity,
    ...(engine.kind === 'postgres' ? { scripts: new ScriptLooks() } : {}),
    hooks: new RestoreHooks(given.hooks, engine.description, clock, given.secrets ?? []),
    clock,
    log,
    checkpoint,
    ...telling,
    ...(given.turn ? { turn: given.turn } : {}),
    ...(given.tidying ? { tidying: given.tidying } : {}),
    lateStops: { until: Number.NEGATIVE_INFINITY },
    leftovers: { found: false },
  };
}
