import { messageOf } from '../../core/runtime/errors.ts';
import { safeName } from './drop-name.ts';
import type { Scan, Sighting } from './scan.ts';

/** A drop that waits for its turn. Times are of the monotonic clock, in milliseconds. */
export interface QueuedDrop {
  readonly sighting: Sighting;
  /** For people. */
  readonly name: string;
  readonly firstSeen: number;
  /** Since when size, time and identity have not changed. */
  readonly unchangedSince: number;
  /** Why it waits although it is quiet: it looks truncated. */
  readonly incomplete?: string;
}

export interface SettlePolicy {
  /** Milliseconds for which any file must be unchanged. */
  readonly quietMs: number;
  /** Milliseconds for which a file that looks truncated may still be growing. */
  readonly settleMs: number;
}

/** Drops in order of arrival: when they were first seen, then by their time, then by name. */
export class DropQueue {
  readonly #policy: SettlePolicy;
  #drops = new Map<string, QueuedDrop>();
  readonly #toldForeign = new Set<string>();

  constructor(policy: SettlePolicy) {
    this.#policy = policy;
  }

  /** Takes a new scan in; returns names of foreign files that were not told yet. */
  update(scan: Scan, now: number): string[] {
    const next = new Map<string, QueuedDrop>();
    for (const sighting of scan.sightings) {
      const key = sighting.path.toString('hex');
      next.set(key, merge(this.#drops.get(key), sighting, now));
    }
    this.#drops = next;
    return this.#untold(scan.foreign);
  }

  get drops(): QueuedDrop[] {
    return [...this.#drops.values()].toSorted(byArrival);
  }

  /** Those that are quiet, and not known to be incomplete unless they waited long enough. */
  settled(now: number): QueuedDrop[] {
    return this.drops.filter((drop) => this.#dueAt(drop) <= now);
  }

  /** True when quiet for so long that a truncated look is no reason to wait any more. */
  waitedLongEnough(drop: QueuedDrop, now: number): boolean {
    return now - drop.unchangedSince >= this.#policy.settleMs;
  }

  /** Milliseconds until the next drop is due, undefined when none waits. */
  nextDueIn(now: number): number | undefined {
    const waits = this.drops.map((drop) => Math.max(0, this.#dueAt(drop) - now));
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  markIncomplete(drop: QueuedDrop, reason: unknown): void {
    const key = drop.sighting.path.toString('hex');
    const present = this.#drops.get(key);
    if (present?.sighting.signature !== drop.sighting.signature) return;
    this.#drops.set(key, { ...present, incomplete: messageOf(reason) });
  }

  remove(drop: QueuedDrop): void {
    this.#drops.delete(drop.sighting.path.toString('hex'));
  }

  #dueAt(drop: QueuedDrop): number {
    const { quietMs, settleMs } = this.#policy;
    const wait = drop.incomplete === undefined ? quietMs : Math.max(quietMs, settleMs);
    return drop.unchangedSince + wait;
  }

  #untold(foreign: readonly Buffer[]): string[] {
    const present = new Set(foreign.map((name) => name.toString('hex')));
    for (const key of this.#toldForeign) if (!present.has(key)) this.#toldForeign.delete(key);
    const untold = foreign.filter((name) => !this.#toldForeign.has(name.toString('hex')));
    for (const name of untold) this.#toldForeign.add(name.toString('hex'));
    return untold.map(safeName);
  }
}

function merge(known: QueuedDrop | undefined, sighting: Sighting, now: number): QueuedDrop {
  if (known?.sighting.signature === sighting.signature) return { ...known, sighting };
  return {
    sighting,
    name: safeName(sighting.rawName),
    firstSeen: known?.firstSeen ?? now,
    unchangedSince: now,
  };
}

function byArrival(a: QueuedDrop, b: QueuedDrop): number {
  return (
    a.firstSeen - b.firstSeen ||
    a.sighting.mtimeMs - b.sighting.mtimeMs ||
    Buffer.compare(a.sighting.rawName, b.sighting.rawName)
  );
}
