import { messageOf } from '../../core/runtime/errors.ts';
import { safeName } from './drop-name.ts';
import type { Sighting } from './scan.ts';

/** A drop that waits for its turn. Times are of the monotonic clock, in milliseconds. */
export interface QueuedDrop {
  readonly sighting: Sighting;
  /** For people. */
  readonly name: string;
  /** Since when size, time and identity have not changed: then it has arrived. */
  readonly unchangedSince: number;
  /** Why it waits although it is quiet: it looks truncated. */
  readonly incomplete?: string;
  /** It was looked into, and does not look truncated. */
  readonly looksWhole?: true;
}

export interface SettlePolicy {
  /** Milliseconds for which any file must be unchanged. */
  readonly quietMs: number;
  /** Milliseconds for which a file that looks truncated may still be growing. */
  readonly settleMs: number;
}

/** So many of those that have settled are looked at again by every scan; others on their turn. */
const WATCHED = 200;

/**
 * Drops in order of arrival: by the scan that saw them unchanged first, then by the time of their
 * last change, then by name. Thousands may wait: nothing here sorts or copies all of them.
 */
export class DropQueue {
  readonly #policy: SettlePolicy;
  /** By key, in order of arrival. */
  readonly #drops = new Map<string, QueuedDrop>();

  constructor(policy: SettlePolicy) {
    this.#policy = policy;
  }

  get size(): number {
    return this.#drops.size;
  }

  has(key: string): boolean {
    return this.#drops.has(key);
  }

  /** The first of them, in order of arrival. */
  first(count: number): QueuedDrop[] {
    const found: QueuedDrop[] = [];
    for (const drop of this.#drops.values()) {
      if (found.length >= count) break;
      found.push(drop);
    }
    return found;
  }

  /** Takes in what was looked at; what is unchanged keeps its place. */
  note(sightings: readonly Sighting[], now: number): void {
    const fresh = sightings.filter(
      (sighting) => this.#drops.get(sighting.key)?.sighting.signature !== sighting.signature,
    );
    for (const sighting of fresh.toSorted(byArrival)) {
      this.#drops.delete(sighting.key);
      this.#drops.set(sighting.key, {
        sighting,
        name: safeName(sighting.rawName),
        unchangedSince: now,
      });
    }
  }

  /** Forgets what isn't in the folder any more. */
  keepOnly(present: ReadonlySet<string>): void {
    for (const key of this.#drops.keys()) if (!present.has(key)) this.#drops.delete(key);
  }

  /** What a scan must look at again: all that may still grow, and those whose turn is near. */
  toWatch(now: number): QueuedDrop[] {
    const watched: QueuedDrop[] = [];
    let settled = 0;
    for (const drop of this.#drops.values()) {
      if (this.#dueAt(drop) > now || settled++ < WATCHED) watched.push(drop);
    }
    return watched;
  }

  /** Those that are quiet, and not known to be incomplete unless they waited long enough. */
  *settled(now: number): Generator<QueuedDrop> {
    for (const drop of this.#drops.values()) if (this.#dueAt(drop) <= now) yield drop;
  }

  /** True when quiet for so long that a truncated look is no reason to wait any more. */
  waitedLongEnough(drop: QueuedDrop, now: number): boolean {
    return now - drop.unchangedSince >= this.#policy.settleMs;
  }

  /** Milliseconds until the next drop is due, undefined when none waits. */
  nextDueIn(now: number): number | undefined {
    let next: number | undefined;
    for (const drop of this.#drops.values()) {
      const wait = Math.max(0, this.#dueAt(drop) - now);
      if (wait === 0) return 0;
      next = Math.min(next ?? wait, wait);
    }
    return next;
  }

  markIncomplete(drop: QueuedDrop, reason: unknown): void {
    this.#mark(drop, { incomplete: messageOf(reason) });
  }

  markWhole(drop: QueuedDrop): void {
    this.#mark(drop, { looksWhole: true });
  }

  remove(drop: QueuedDrop): void {
    this.#drops.delete(drop.sighting.key);
  }

  #mark(drop: QueuedDrop, mark: Pick<QueuedDrop, 'incomplete' | 'looksWhole'>): void {
    const { key } = drop.sighting;
    const present = this.#drops.get(key);
    if (present?.sighting.signature !== drop.sighting.signature) return;
    this.#drops.set(key, { ...present, ...mark });
  }

  #dueAt(drop: QueuedDrop): number {
    const { quietMs, settleMs } = this.#policy;
    const wait = drop.incomplete === undefined ? quietMs : Math.max(quietMs, settleMs);
    return drop.unchangedSince + wait;
  }
}

function byArrival(a: Sighting, b: Sighting): number {
  return a.arrivedMs - b.arrivedMs || Buffer.compare(a.rawName, b.rawName);
}
