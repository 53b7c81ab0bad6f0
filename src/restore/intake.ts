import type { RestoreConfig } from '../core/config/config.ts';
import type { RestoreRequest } from '../core/requests/protocol.ts';
import { recordForDrop } from './describe-job.ts';
import { looksTruncated } from './drop-folder/completeness.ts';
import type { QueuedDrop } from './drop-folder/drop-queue.ts';
import { lookAt, signatureOf } from './drop-folder/scan.ts';
import type { DropWatcher } from './drop-folder/watch.ts';
import type { Gates } from './gates.ts';
import type { JobRecord } from './journal/record.ts';
import type { MachineParts } from './parts.ts';
import type { RequestInbox } from './requests/inbox.ts';
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

/** Decides what is begun next: drops and requests, in order of arrival, once they may be. */
export class Intake {
  readonly #config: Pick<RestoreConfig, 'pollIntervalMs' | 'settleMs'>;
  readonly #with: IntakeParts;
  readonly #left = new Set<string>();

  constructor(config: Pick<RestoreConfig, 'pollIntervalMs' | 'settleMs'>, given: IntakeParts) {
    this.#config = config;
    this.#with = given;
  }

  /** The next job that can be begun now, or undefined after a pause. */
  async next(signal: AbortSignal): Promise<JobRecord | undefined> {
    const requests = await this.#with.inbox.pending();
    const drops = this.#with.watcher
      .settled()
      .filter(({ sighting }) => !this.#left.has(sighting.signature));
    this.#with.board.queue = [
      ...requests.map(({ request }) => ({ name: `${request.kind} ${request.file ?? ''}`.trim() })),
      ...this.#with.watcher.queue.drops.map(({ name, incomplete }) =>
        incomplete === undefined ? { name } : { name, waitsFor: incomplete },
      ),
    ];
    await this.#with.board.publish();
    const [request] = requests;
    const [drop] = drops;
    if (request && (!drop || request.firstSeen <= drop.firstSeen)) {
      return this.#acceptRequest(request.request, signal);
    }
    for (const candidate of drops) {
      const record = await this.#acceptDrop(candidate, signal);
      if (record) return record;
    }
    // No drop can be begun yet: a check, or a restore beside the live database, may all the same.
    if (request) return this.#acceptRequest(request.request, signal);
    await this.#with.wake.wait(this.#pauseMs(), signal);
    return undefined;
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

  async #acceptDrop(drop: QueuedDrop, signal: AbortSignal): Promise<JobRecord | undefined> {
    const now = this.#with.parts.clock.monotonic();
    if (drop.sighting.isFile && !this.#with.watcher.queue.waitedLongEnough(drop, now)) {
      const reason = await looksTruncated(drop.sighting, signal);
      if (reason !== undefined) {
        this.#with.parts.log.info(
          { file: drop.name, settleMs: this.#config.settleMs },
          `waiting: ${reason}`,
        );
        this.#with.watcher.queue.markIncomplete(drop, reason);
        return undefined;
      }
    }
    const record = recordForDrop(drop, this.#with.parts.clock.now());
    if (drop.sighting.isFile && !(await this.#with.gates.areOpenFor(record.job, signal)))
      return undefined;
    this.#with.watcher.queue.remove(drop);
    return record;
  }

  #pauseMs(): number {
    const due = this.#with.watcher.queue.nextDueIn(this.#with.parts.clock.monotonic());
    const { pollIntervalMs } = this.#config;
    const probe = this.#with.gates.retryInMs;
    const soonest = due === undefined || due === 0 ? pollIntervalMs : Math.min(due, pollIntervalMs);
    return Math.max(50, probe > 0 ? Math.min(soonest, probe) : soonest);
  }

  /** What was refused but could not be moved (another mount) is not refused again and again. */
  async noteIfLeft({ job, sourceSignature }: JobRecord): Promise<void> {
    if (job.source.kind !== 'drop') return;
    const stats = await lookAt(sourcePath(job, this.#with.parts)).catch(() => undefined);
    if (!stats || stats.isFile() || signatureOf(stats) !== sourceSignature) return;
    this.#left.add(sourceSignature);
  }
}
