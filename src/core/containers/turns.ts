import { throwIfAborted } from '../runtime/errors.ts';
import type { Application } from './application.ts';

/**
 * Several databases may have the same containers to stop. One restore's start must not bring back
 * what another has stopped: who has its turn at some containers keeps it until they are started.
 */
export class ContainerTurns {
  readonly #held = new Map<object, ReadonlySet<string>>();
  #changed = Promise.withResolvers<void>();

  /** Waits until nobody else has a turn at any of them. Rejects with `run/aborted`. */
  async take(
    owner: object,
    names: readonly string[],
    signal: AbortSignal,
    onWait?: () => void,
  ): Promise<void> {
    let isTold = false;
    while (this.#isTaken(owner, names)) {
      throwIfAborted(signal);
      if (!isTold) onWait?.();
      isTold = true;
      await settledOrAborted(this.#changed.promise, signal);
    }
    throwIfAborted(signal);
    this.#held.set(owner, new Set(names));
  }

  has(owner: object): boolean {
    return this.#held.has(owner);
  }

  release(owner: object): void {
    if (!this.#held.delete(owner)) return;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #isTaken(owner: object, names: readonly string[]): boolean {
    const others = [...this.#held].filter(([holder]) => holder !== owner);
    return others.some(([, held]) => names.some((name) => held.has(name)));
  }
}

async function settledOrAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([promise, aborted.promise]);
  signal.removeEventListener('abort', onAbort);
}

/** One database's turn. */
export interface ContainerTurn {
  take(names: readonly string[], signal: AbortSignal, onWait?: () => void): Promise<void>;
  release(): void;
}

type Start = Application['start'];

/** `start`: as the application's, but outside of a restore's turn it waits for one of its own. */
export function takingTurns(
  application: { readonly start: Start },
  turns: ContainerTurns,
): { readonly turn: ContainerTurn; readonly start: Start } {
  const owner = {};
  return {
    turn: {
      take: (names, signal, onWait) => turns.take(owner, names, signal, onWait),
      release: () => turns.release(owner),
    },
    async start(names, options) {
      if (turns.has(owner)) return await application.start(names, options);
      await turns.take(owner, names, options.signal);
      try {
        return await application.start(names, options);
      } finally {
        turns.release(owner);
      }
    },
  };
}
