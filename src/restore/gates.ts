import { isAbort } from '../core/runtime/errors.ts';
import type { JobDescription } from './journal/record.ts';
import type { MachineParts } from './parts.ts';
import type { StatusBoard } from './status-board.ts';

/** The longest time between two lines about a database that is down. Milliseconds. */
const MOST_BACKOFF_MS = 60_000;
/** Containers that are missing are looked for this often at most. Milliseconds. */
const RESOLVE_EVERY_MS = 500;

/** What must be there before a job is begun: nothing is claimed while it isn't. */
export class Gates {
  readonly #parts: MachineParts;
  readonly #board: StatusBoard;
  readonly #openedAt = new Map<'live' | 'aside', number>();
  #failures = 0;
  #nextProbe = Number.NEGATIVE_INFINITY;
  #nextResolve = Number.NEGATIVE_INFINITY;

  constructor(parts: MachineParts, board: StatusBoard) {
    this.#parts = parts;
    this.#board = board;
  }

  /**
   * `holdMs`: for so long an open gate is not looked at again. Drops may come by the thousand, and
   * one that is refused needs neither the database nor the containers.
   */
  async areOpenFor(job: JobDescription, signal: AbortSignal, holdMs = 0): Promise<boolean> {
    const needsApplication = job.kind !== 'check' && job.target.kind === 'live';
    const key = needsApplication ? 'live' : 'aside';
    if (this.#parts.clock.monotonic() < (this.#openedAt.get(key) ?? -Infinity) + holdMs)
      return true;
    this.#openedAt.delete(key);
    if (needsApplication && !(await this.applicationIsKnown(signal))) return false;
    if (!(await this.databaseAnswers(signal))) return false;
    this.#openedAt.set(key, this.#parts.clock.monotonic());
    return true;
  }

  /** Every configured container exists; looked at again on every poll. */
  async applicationIsKnown(signal: AbortSignal): Promise<boolean> {
    const { application, clock } = this.#parts;
    if (clock.monotonic() < this.#nextResolve) return false;
    try {
      await application.resolve(signal);
      this.#board.solved('containers', 'all configured containers are there now');
      return true;
    } catch (error) {
      if (isAbort(error) && signal.aborted) throw error;
      this.#nextResolve = clock.monotonic() + RESOLVE_EVERY_MS;
      this.#board.problem('containers', error, 'restores wait for the configured containers');
      return false;
    }
  }

  /** Asked again with growing pauses, a line each time. */
  async databaseAnswers(signal: AbortSignal): Promise<boolean> {
    const { clock, engine, log } = this.#parts;
    if (clock.monotonic() < this.#nextProbe) return false;
    try {
      await engine.probe(signal);
    } catch (error) {
      if (isAbort(error) && signal.aborted) throw error;
      const waitMs = Math.min(MOST_BACKOFF_MS, 1000 * 2 ** this.#failures++);
      this.#nextProbe = clock.monotonic() + waitMs;
      const message = `waiting for the database; next look in ${waitMs / 1000} s`;
      this.#board.problem('database', error, message);
      if (this.#failures > 1) log.warn({ error, attempt: this.#failures }, message);
      return false;
    }
    this.#failures = 0;
    this.#nextProbe = Number.NEGATIVE_INFINITY;
    this.#board.solved('database', 'the database answers again');
    return true;
  }

  /** Milliseconds until a database that is down is asked again; 0 when it isn't. */
  get retryInMs(): number {
    return Math.max(0, this.#nextProbe - this.#parts.clock.monotonic());
  }
}
