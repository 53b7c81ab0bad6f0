import { EXIT_CODES, type RestoreRequest } from '../core/requests/protocol.ts';
import type { RestoreReport } from '../core/requests/report.ts';
import { DropbackError, errorReport, toDropbackError } from '../core/runtime/errors.ts';
import { OWED } from './bring-back.ts';
import { findPrevious, recordForRequest } from './describe-job.ts';
import type { JobProgress } from './job.ts';
import type { JobRecord } from './journal/record.ts';
import { keptOfAnother, sortKept } from './kept.ts';
import { type JobEnd, RestoreMachine } from './machine.ts';
import { notePrevious } from './note-previous.ts';
import type { MachineParts } from './parts.ts';
import { outcomeOf, resultFor } from './report.ts';
import type { RequestInbox } from './requests/inbox.ts';
import type { StatusBoard } from './status-board.ts';

/** At most so often is progress written for a request. Milliseconds. */
const PROGRESS_EVERY_MS = 250;

/** Runs jobs on the machine and answers those who asked for them. */
export class Worker {
  readonly #parts: MachineParts;
  readonly #machine: RestoreMachine;
  readonly #inbox: RequestInbox;
  readonly #board: StatusBoard;

  constructor(parts: MachineParts, inbox: RequestInbox, board: StatusBoard) {
    this.#parts = parts;
    this.#machine = new RestoreMachine(parts);
    this.#inbox = inbox;
    this.#board = board;
  }

  async run(record: JobRecord, signal: AbortSignal): Promise<JobEnd> {
    this.#board.state = 'working';
    const end = await this.#machine.run(record, signal, this.progressOf(record));
    if (end.kind === 'reported') await this.answer(record, end.report);
    const { source } = record.job;
    if (end.kind === 'returned' && source.kind === 'request') {
      await this.refuse(source.requestId, payloadChanged(), EXIT_CODES.tryAgain);
    }
    this.#board.current = undefined;
    this.#board.state = 'idle';
    await this.#board.publish();
    return end;
  }

  /** The one who asked learns the end; a drop has its report beside it. */
  async answer(record: JobRecord, report: RestoreReport): Promise<void> {
    this.#board.last = report;
    if (record.job.source.kind !== 'request') return;
    // Whoever asks for the kept databases next must find this one.
    await notePrevious(this.#parts, this.#board);
    await this.#inbox.finish(record.job.source.requestId, resultFor(report, this.#board.has(OWED)));
  }

  /** The record of a request's job, or undefined when the request is answered already. */
  async accept(request: RestoreRequest, signal: AbortSignal): Promise<JobRecord | undefined> {
    try {
      const { records } = await this.#parts.previous.list();
      if (request.kind === 'drop-previous') {
        await this.#dropPrevious(request, signal);
        return undefined;
      }
      const { ours, others } = await sortKept(records, this.#parts.engine);
      const record = recordForRequest(request, [...ours, ...others], this.#parts.clock.now());
      return (await this.#inbox.take(request.id)) ? record : undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      await this.refuse(request.id, toDropbackError(error));
      return undefined;
    }
  }

  /**
   * Requests that a dead daemon had taken: the one in hand goes on, one that had come to its end
   * gets the report, others were not begun.
   */
  async answerInterrupted(inHand: JobRecord | undefined): Promise<void> {
    const source = inHand?.job.source;
    const current = source?.kind === 'request' ? source.requestId : undefined;
    const { last } = this.#parts.journal.body;
    for (const id of await this.#inbox.unanswered()) {
      if (id === current) continue;
      if (last?.id.endsWith(id)) await this.#inbox.finish(id, resultFor(last, false));
      else await this.refuse(id, interrupted(), EXIT_CODES.tryAgain);
    }
  }

  /** Notes progress on the board, and for the request where there is one. */
  progressOf(record: JobRecord): (progress: JobProgress) => void {
    const { id, name, source } = record.job;
    let toldStep = '';
    let toldAt = Number.NEGATIVE_INFINITY;
    return (progress) => {
      this.#board.current = { id, name, ...progress };
      const now = this.#parts.clock.monotonic();
      const said = `${progress.step} ${progress.message}`;
      if (said === toldStep && now - toldAt < PROGRESS_EVERY_MS) return;
      toldStep = said;
      toldAt = now;
      void this.#board.publish();
      if (source.kind !== 'request') return;
      this.#inbox.progress(source.requestId, { state: 'running', ...progress }).catch((error) => {
        this.#parts.log.debug({ error }, 'progress could not be written');
      });
    };
  }

  async #dropPrevious(request: RestoreRequest, signal: AbortSignal): Promise<void> {
    const { engine, previous, log } = this.#parts;
    const { records } = await previous.list();
    const { ours, others } = await sortKept(records, engine);
    const { previous: kept, state } = findPrevious([...ours, ...others], request.previousId);
    if (!(await engine.isOfLive(state))) throw keptOfAnother(kept, engine);
    const context = { signal, log, progress: () => {}, save: async () => {} };
    await engine.dropPrevious(kept, context);
    await previous.remove(kept);
    log.info({ previous: kept.name }, 'the previous database was dropped, as asked');
    await notePrevious(this.#parts, this.#board);
    await this.#inbox.finish(request.id, { exitCode: EXIT_CODES.done });
  }

  /** The end of a request that was not carried out. */
  async refuse(id: string, error: DropbackError, code?: 75): Promise<void> {
    const exitCode =
      code ?? (outcomeOf(error) === 'refused' ? EXIT_CODES.refused : EXIT_CODES.failed);
    this.#parts.log.warn({ request: id, error }, 'the request was not carried out');
    await this.#inbox.finish(id, { exitCode, error: errorReport(error) });
  }
}

function payloadChanged(): DropbackError {
  return new DropbackError('request/payload-changed', 'the file changed while it was taken in', {
    hint: 'nothing was changed: ask again.',
    retryable: true,
  });
}

function interrupted(): DropbackError {
  return new DropbackError('request/interrupted', 'the daemon ended before it began with this', {
    hint: 'nothing was changed: ask again.',
    retryable: true,
  });
}
