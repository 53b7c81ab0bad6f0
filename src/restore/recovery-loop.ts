import { EXIT_CODES } from '../core/requests/protocol.ts';
import { DropbackError, isAbort } from '../core/runtime/errors.ts';
import type { JobRecord } from './journal/record.ts';
import type { MachineParts } from './parts.ts';
import { recover } from './recovery.ts';
import { type Noticing, noticing } from './requests/noticing.ts';
import type { StatusBoard } from './status-board.ts';
import type { Worker } from './worker.ts';

export interface RecoveryTelling {
  readonly board: StatusBoard;
  readonly worker: Worker;
  readonly noticing: Noticing;
}

/** Recovery until it is through: before anything else is begun, and after a job that it has to end. */
export class RecoveryLoop {
  readonly #parts: MachineParts;
  readonly #board: StatusBoard;
  readonly #worker: Worker;
  readonly #noticing: Noticing;

  constructor(parts: MachineParts, { board, worker, noticing }: RecoveryTelling) {
    this.#parts = parts;
    this.#board = board;
    this.#worker = worker;
    this.#noticing = noticing;
  }

  /**
   * Again and again while the disk or the database doesn't let it; blocked until a person acts.
   * Returns the job that is taken up again, if one is.
   */
  async run(signal: AbortSignal): Promise<JobRecord | undefined> {
    for (let attempt = 1; ; attempt++) {
      this.#board.state = 'recovering';
      const once = () => this.#recoverOnce(attempt, signal);
      const next = await noticing(once, this.#noticing, signal);
      if (next === 'clean') return undefined;
      await this.#board.publish();
      if (next !== 'not-yet' && !(next instanceof DropbackError)) return next;
      await this.#tellWhoAsks(next);
      await this.#parts.clock.sleep(this.#noticing.pollIntervalMs, signal);
    }
  }

  /** Also what was taken up again has come to its end. */
  settled(): void {
    this.#board.solved('recovery', 'everything is in order');
    this.#board.last = this.#parts.journal.body.last ?? undefined;
    this.#board.state = 'idle';
  }

  /** Nothing is begun now: whoever asks learns why, and need not wait for a person to act. */
  async #tellWhoAsks(why: 'not-yet' | DropbackError): Promise<void> {
    const { inbox } = this.#noticing;
    try {
      const waiting = (await inbox.pending()).map(({ request }) => request.id);
      if (why === 'not-yet') {
        const [problem] = this.#board.snapshot().problems;
        const message = `waiting: ${problem?.message ?? 'an interrupted restore comes first'}`;
        for (const id of waiting) await inbox.progress(id, { state: 'queued', message });
        return;
      }
      for (const id of [...waiting, ...(await inbox.unanswered())]) {
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
      this.#board.last = this.#parts.journal.body.last ?? undefined;
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
