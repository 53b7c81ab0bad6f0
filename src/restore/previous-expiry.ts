import type { PreviousDatabase } from '../core/engines/engine.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { keptUntil } from './report.ts';

/** A clock that was wrong at start has so long to be put right. Milliseconds. */
const GRACE_MS = 600_000;

interface FirstLook {
  /** Monotonic, milliseconds. */
  readonly at: number;
  /** What was left of its time then. Milliseconds. */
  readonly leftMs: number;
}

/**
 * When the time of a kept database is over. The wall clock counts across restarts; while the daemon
 * runs, the monotonic clock has to agree, so that setting the wall clock drops nothing early.
 */
export class PreviousExpiry {
  readonly #keepMs: number;
  readonly #clock: Clock;
  readonly #seen = new Map<string, FirstLook>();

  constructor(keepMs: number, clock: Clock) {
    this.#keepMs = keepMs;
    this.#clock = clock;
  }

  isOver(kept: Pick<PreviousDatabase, 'id' | 'replacedAt'>): boolean {
    const { at, leftMs } = this.#firstLook(kept);
    const seenMs = this.#clock.monotonic() - at;
    // A clock that was set back since, or was ahead when it was replaced, keeps nothing for years.
    if (seenMs >= this.#keepMs) return true;
    return seenMs >= leftMs && this.#leftMs(kept) <= 0;
  }

  #firstLook(kept: Pick<PreviousDatabase, 'id' | 'replacedAt'>): FirstLook {
    const known = this.#seen.get(kept.id);
    if (known) return known;
    const leftMs = Math.min(this.#keepMs, Math.max(GRACE_MS, this.#leftMs(kept)));
    const look = { at: this.#clock.monotonic(), leftMs };
    this.#seen.set(kept.id, look);
    return look;
  }

  #leftMs({ replacedAt }: Pick<PreviousDatabase, 'replacedAt'>): number {
    return Date.parse(keptUntil(replacedAt, this.#keepMs)) - this.#clock.now().getTime();
  }
}
