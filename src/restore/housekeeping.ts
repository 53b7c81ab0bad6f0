import { DropbackError, isAbort } from '../core/runtime/errors.ts';
import type { Gates } from './gates.ts';
import type { PreviousRecord } from './journal/previous-records.ts';
import { keptOfAnother, sortKept } from './kept.ts';
import { notePrevious } from './note-previous.ts';
import type { MachineParts } from './parts.ts';
import { PreviousExpiry } from './previous-expiry.ts';
import type { RequestInbox } from './requests/inbox.ts';
import { startEveryListed } from './start-listed.ts';
import type { StatusBoard } from './status-board.ts';
import { sweepLeftovers } from './sweep.ts';

/** What the daemon does on every poll while it is idle. */
export class Housekeeping {
  readonly #parts: MachineParts;
  readonly #gates: Gates;
  readonly #inbox: RequestInbox;
  readonly #board: StatusBoard;
  readonly #expiry: PreviousExpiry;
  /** Ids of kept databases. */
  readonly #told = new Set<string>();

  constructor(parts: MachineParts, gates: Gates, inbox: RequestInbox, board: StatusBoard) {
    this.#parts = parts;
    this.#gates = gates;
    this.#inbox = inbox;
    this.#board = board;
    this.#expiry = new PreviousExpiry(parts.settings.keepPreviousMs, parts.clock);
  }

  /** Throws only `run/aborted`: a fault of one chore is logged, and keeps none of the others. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#chore('containers', signal, () => this.#startOwed(signal));
    await this.#gates.applicationIsKnown(signal);
    await this.#chore('previous', signal, () => this.#expirePrevious(signal));
    await this.#chore('requests', signal, () => this.#inbox.expireOld());
    if (this.#parts.leftovers.found) {
      await this.#chore('left-overs', signal, () => sweepLeftovers(this.#parts, signal));
    }
  }

  /** Containers that could not be started after a restore. */
  async #startOwed(signal: AbortSignal): Promise<void> {
    if ((await this.#parts.stopped.read()).kind === 'none') return;
    await startEveryListed(this.#parts, signal);
  }

  async #expirePrevious(signal: AbortSignal): Promise<void> {
    const { engine, previous, log } = this.#parts;
    const { records, unusable } = await previous.list();
    const { ours, others } = await sortKept(records, engine);
    this.#tellOf(others);
    for (const { previous: kept } of ours) {
      if (!this.#expiry.isOver(kept)) continue;
      const context = { signal, log, progress: () => {}, save: async () => {} };
      await engine.dropPrevious(kept, context);
      await previous.remove(kept);
      log.info({ previous: kept.name, replacedAt: kept.replacedAt }, 'its time is over: dropped');
    }
    await notePrevious(this.#parts, this.#board);
    if (unusable.length > 0) throw damaged(unusable);
  }

  /** Once: it stays until somebody acts. */
  #tellOf(others: readonly PreviousRecord[]): void {
    const { log, engine } = this.#parts;
    for (const { previous: kept } of others) {
      if (this.#told.has(kept.id)) continue;
      this.#told.add(kept.id);
      const { message, hint } = keptOfAnother(kept, engine);
      log.warn({ previous: kept.name, hint }, message);
    }
  }

  async #chore(kind: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#board.solved(`chore ${kind}`, `${kind}: in order again`);
    } catch (error) {
      if (isAbort(error) || signal.aborted) throw error;
      this.#board.problem(`chore ${kind}`, error, `${kind}: could not be done; trying again`);
    }
  }
}

function damaged(files: readonly string[]): DropbackError {
  return new DropbackError(
    'previous/damaged',
    `records of kept databases can't be read: ${files.join(', ')}`,
    {
      hint: 'nothing is swept meanwhile. Each names a kept database that no command brings back any more: look for it (dropback_p_…), then remove the record from previous/ by hand.',
      facts: { files },
    },
  );
}
