import type { Clock } from './clock.ts';

/** So much time's worth may go at once: a timer that fires late must not cost throughput. */
const BURST_MS = 100;
/** A piece is small enough that several streams get their turns within a second. */
const PIECES_A_SECOND = 8;
const LARGEST_PIECE = 128 * 1024;

/**
 * A token bucket for bytes: whatever share it, together they pass no more than `bytesPerSecond`, and a
 * tenth of a second's worth. Turns are in the order in which they were asked for.
 */
export class RateLimit {
  /** Take no more than this at once. */
  readonly pieceBytes: number;
  readonly #bytesPerMs: number;
  readonly #clock: Clock;
  /** When all that was granted will have passed. */
  #freeAt = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number, clock: Clock) {
    const piece = Math.floor(bytesPerSecond / PIECES_A_SECOND);
    this.pieceBytes = Math.max(1, Math.min(LARGEST_PIECE, piece));
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#clock = clock;
  }

  /** Resolves when so many bytes may pass. What was waited for in vain is not given back. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    const from = Math.max(now - BURST_MS, this.#freeAt);
    this.#freeAt = from + bytes / this.#bytesPerMs;
    if (from > now) await this.#clock.sleep(from - now, signal);
  }
}
