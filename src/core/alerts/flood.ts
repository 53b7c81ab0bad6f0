import type { AlertEvent } from './alert.ts';

const MOST = 10;
const WINDOW_MS = 600_000;

/** Lets ten alerts of an event through in ten minutes, and counts the others. */
export class FloodGate {
  readonly #events = new Map<AlertEvent, { let: number; held: number; since: number }>();

  /** `now` is monotonic, in milliseconds. */
  admits(event: AlertEvent, now: number): boolean {
    const window = this.#events.get(event) ?? { let: 0, held: 0, since: now };
    this.#events.set(event, window);
    if (window.let < MOST) window.let += 1;
    else window.held += 1;
    return window.held === 0;
  }

  /** Windows that are over: how many of each event were held back. */
  takeHeld(now: number): { readonly event: AlertEvent; readonly count: number }[] {
    const held: { event: AlertEvent; count: number }[] = [];
    for (const [event, window] of this.#events) {
      if (now - window.since < WINDOW_MS) continue;
      this.#events.delete(event);
      if (window.held > 0) held.push({ event, count: window.held });
    }
    return held;
  }
}
