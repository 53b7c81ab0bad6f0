import type { Clock } from '../core/runtime/clock.ts';

/** A sleep that somebody else can end. */
export class Wake {
  readonly #clock: Clock;
  #waiting = new AbortController();
  #pending = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(): void {
    this.#pending = true;
    this.#waiting.abort();
  }

  /** Resolves after `ms` milliseconds, or as soon as it is woken. Rejects with `run/aborted`. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#pending) {
      this.#waiting = new AbortController();
      const either = AbortSignal.any([signal, this.#waiting.signal]);
      try {
        await this.#clock.sleep(ms, either);
      } catch (error) {
        if (signal.aborted) throw error;
      }
    }
    this.#pending = false;
  }
}
