import type { RestoreConfig } from '../core/config/config.ts';
import type { RestoreRequest } from '../core/requests/protocol.ts';
import { recordForDrop } from './describe-job.ts';
import { looksTruncatedSoon } from './drop-folder/completeness.ts';
import type { QueuedDrop } from './drop-folder/drop-queue.ts';
import { LeftBehind } from './drop-folder/left-behind.ts';
import { type DropMode, lookAt, sightAgain, signatureOf } from './drop-folder/scan.ts';
import type { DropWatcher } from './drop-folder/watch.ts';
import type { Gates } from './gates.ts';
import type { JobRecord } from './journal/record.ts';
import type { MachineParts } from './parts.ts';
import type { PendingRequest, RequestInbox } from './requests/inbox.ts';
import type { StatusBoard } from './status-board.ts';
import { sourcePath } from './steps/claim.ts';
import type { Wake } from './wake.ts';
import type { Worker } from './worker.ts';

export interface IntakeParts {
  readonly parts: MachineParts;
  readonly board: StatusBoard;
  readonly inbox: RequestInbox;
  readonly watcher: DropWatcher;
  readonly gates: Gates;
  readonly worker: Worker;
  readonly wake: Wake;
}

/** Drops that are looked into before requests are looked for again. */
const MOST_LOOKS = 50;
/** After a look that found everything there, that is taken for granted so long. Milliseconds. */
const GATES_HOLD_MS = 2000;

/** One look through the queue. */
interface Turn {
  /** What these need is not there. */
  readonly closedTo: Set<DropMode>;
  left: number;
}

/** Decides what is begun next: drops and requests, in order of arrival, once they may be. */
export class Intake {
  readonly #config: Pick<RestoreConfig, 'pollIntervalMs' | 'settleMs'>;
  readonly #with: IntakeParts;
  readonly #left: LeftBehind;

  constructor(
    config: Pick<RestoreConfig, 'pollIntervalMs' | 'settleMs' | 'stateFile'>,
    given: IntakeParts,
  ) {
    this.#config = config;
    this.#with = given;
    this.#left = new LeftBehind(config.stateFile, given.parts.log);
  }

  /** What an earlier daemon had to leave in the drop folder. */
  load(): Promise<void> {
    return this.#left.load();
  }

  /** The next job that can be begun now, or undefined after a pause. */
  async next(signal: AbortSignal): Promise<JobRecord | undefined> {
    const { board, inbox, watcher } = this.#with;
    const requests = await inbox.pending();
    board.showQueue(requests, watcher.queue);
    await board.publish();
    const record = await this.#choose(requests, signal);
    // What is in hand does not wait any more.
    const asked = record?.job.source.kind === 'request' ? record.job.source.requestId : undefined;
    const waiting = requests.filter(({ request }) => request.id !== asked);
    if (record) board.showQueue(waiting, watcher.queue);
    return record;
  }

  async #choose(
    requests: readonly PendingRequest[],
    signal: AbortSignal,
  ): Promise<JobRecord | undefined> {
    const drops = this.#settled();
    const [request] = requests;
    let drop = drops.next().value;
    if (request && (!drop || request.firstSeen <= drop.unchangedSince)) {
      return this.#acceptRequest(request.request, signal);
    }
    const turn: Turn = { closedTo: new Set(), left: MOST_LOOKS };
    for (; drop && turn.left > 0; drop = drops.next().value) {
      const record = await this.#acceptDrop(drop, turn, signal);
      if (record) return record;
    }
    // No drop can be begun yet: a check, or a restore beside the live database, may all the same.
    if (request) return this.#acceptRequest(request.request, signal);
    if (turn.left > 0) await this.#with.wake.wait(this.#pauseMs(), signal);
    return undefined;
  }

  *#settled(): Generator<QueuedDrop, undefined> {
    const { watcher, parts } = this.#with;
    for (const drop of watcher.queue.settled(parts.clock.monotonic())) {
      if (!this.#left.has(drop.sighting.signature)) yield drop;
    }
  }

  async #acceptRequest(
    request: RestoreRequest,
    signal: AbortSignal,
  ): Promise<JobRecord | undefined> {
    const target = request.into === undefined ? 'live' : 'side';
    const needsApplication = request.kind !== 'check' && target === 'live';
    const isOpen =
      (await this.#with.gates.databaseAnswers(signal)) &&
      (!needsApplication || (await this.#with.gates.applicationIsKnown(signal)));
    if (isOpen) return this.#with.worker.accept(request, signal);
    const [problem] = this.#with.board.snapshot().problems;
    const message = `waiting: ${problem?.message ?? 'not everything is there yet'}`;
    await this.#with.inbox.progress(request.id, { state: 'queued', message });
    await this.#with.parts.clock.sleep(Math.min(1000, this.#config.pollIntervalMs), signal);
    return undefined;
  }

  async #acceptDrop(
    seen: QueuedDrop,
    turn: Turn,
    signal: AbortSignal,
  ): Promise<JobRecord | undefined> {
    const { gates, parts, watcher } = this.#with;
    const { isFile, mode } = seen.sighting;
    if (isFile && turn.closedTo.has(mode)) return undefined;
    turn.left--;
    const drop = await this.#asItIsNow(seen);
    if (!drop || (isFile && (await this.#stillGrows(drop, signal)))) return undefined;
    const record = recordForDrop(drop, parts.clock.now());
    if (isFile && !(await gates.areOpenFor(record.job, signal, GATES_HOLD_MS))) {
      turn.closedTo.add(mode);
      return undefined;
    }
    watcher.queue.remove(drop);
    return record;
  }

  /** Undefined when it has gone, or has changed and so has to settle anew. */
  async #asItIsNow(drop: QueuedDrop): Promise<QueuedDrop | undefined> {
    const { queue } = this.#with.watcher;
    const sighting = await sightAgain(drop.sighting);
    if (sighting === drop.sighting) return drop;
    if (sighting) queue.note([sighting], this.#with.parts.clock.monotonic());
    else queue.remove(drop);
    return undefined;
  }

  async #stillGrows(drop: QueuedDrop, signal: AbortSignal): Promise<boolean> {
    const { queue } = this.#with.watcher;
    const { clock, log, identity, scripts } = this.#with.parts;
    if (drop.looksWhole || queue.waitedLongEnough(drop, clock.monotonic())) return false;
    const reason = await looksTruncatedSoon(drop.sighting, clock, signal, { identity, scripts });
    if (reason === undefined) {
      queue.markWhole(drop);
      return false;
    }
    log.info({ file: drop.name, settleMs: this.#config.settleMs }, `waiting: ${reason}`);
    queue.markIncomplete(drop, reason);
    return true;
  }

  #pauseMs(): number {
    const due = this.#with.watcher.queue.nextDueIn(this.#with.parts.clock.monotonic());
    const { pollIntervalMs } = this.#config;
    const probe = this.#with.gates.retryInMs;
    const soonest = due === undefined || due === 0 ? pollIntervalMs : Math.min(due, pollIntervalMs);
    return Math.max(50, probe > 0 ? Math.min(soonest, probe) : soonest);
  }

  /** What was reported but could not be moved is not taken up again and again. */
  async noteIfLeft({ job, sourceSignature }: JobRecord): Promise<void> {
    if (job.source.kind !== 'drop' || sourceSignature === undefined) return;
    const stats = await lookAt(sourcePath(job, this.#with.parts)).catch(() => undefined);
    if (stats && signatureOf(stats) === sourceSignature) await this.#left.add(sourceSignature);
  }
}
