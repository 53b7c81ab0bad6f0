import type { AlertEvent } from './alert.ts';

const MOST = 10;
const WINDOW_MS = 600_000;

/** Whose alerts are held back: an outbox, which keeps their number over restarts. */
export interface FloodedSource {
  readonly name: string;
  /** What was held back of this event is told now. */
  forget(event: AlertEvent): void;
}

/** What was held back in a window that is over. */
export interface HeldBack {
  readonly event: AlertEvent;
  readonly count: number;
  /** Whose they were. */
  readonly names: readonly string[];
}

interface Window {
  let: number;
  readonly since: number;
  readonly held: Map<FloodedSource, number>;
}

/**
 * Lets ten alerts of an event through in ten minutes, and counts the others. One for all that reach
 * the same people: a server that is away takes a thousand databases with it. Times are monotonic, in
 * milliseconds.
 */
export class FloodGate {
  readonly #events = new Map<AlertEvent, Window>();

  /** False: held back, counted, and told when the window is over. */
  admits(event: AlertEvent, source: FloodedSource, now: number): boolean {
    const window = this.#window(event, now);
    if (window.let < MOST && window.held.size === 0) {
      window.let += 1;
      return true;
    }
    window.held.set(source, (window.held.get(source) ?? 0) + 1);
    return false;
  }

  /** What a process before this one had held back since then. */
  resume(event: AlertEvent, source: FloodedSource, count: number, since: number): void {
    const window = this.#window(event, since);
    window.held.set(source, (window.held.get(source) ?? 0) + count);
  }

  /** Of windows that are over; each is told by whoever asks first. */
  takeHeld(now: number): HeldBack[] {
    const over = [...this.#events].filter(([, { since }]) => now - since >= WINDOW_MS);
    return over.flatMap(([event, { held }]) => {
      this.#events.delete(event);
      for (const source of held.keys()) source.forget(event);
      const count = [...held.values()].reduce((sum, one) => sum + one, 0);
      const names = [...new Set([...held.keys()].map(({ name }) => name))];
      return count > 0 ? [{ event, count, names }] : [];
    });
  }

  #window(event: AlertEvent, since: number): Window {
    const known = this.#events.get(event);
    if (known) return known;
    const window = { let: 0, since, held: new Map() };
    this.#events.set(event, window);
    return window;
  }
}

/** One gate for each group of people: the same channels, the same gate. */
export class FloodGates {
  readonly #gates = new Map<string, FloodGate>();

  of(receivers: string): FloodGate {
    const gate = this.#gates.get(receivers) ?? new FloodGate();
    this.#gates.set(receivers, gate);
    return gate;
  }
}
