import type { DatabaseLock } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';

/**
 * The database's lock while a job holds it. Releasing is begun at once but waited for only at the
 * end: a connection that hangs must not keep the containers from starting.
 */
export class HeldLock implements AsyncDisposable {
  readonly #log: Logger;
  #lock: DatabaseLock | undefined;
  #released: Promise<void> = Promise.resolve();

  constructor(log: Logger) {
    this.#log = log;
  }

  get held(): DatabaseLock | undefined {
    return this.#lock;
  }

  hold(lock: DatabaseLock): DatabaseLock {
    this.#lock = lock;
    return lock;
  }

  release(): void {
    const lock = this.#lock;
    this.#lock = undefined;
    if (!lock) return;
    this.#released = Promise.resolve(lock[Symbol.asyncDispose]()).catch((error: unknown) => {
      this.#log.warn({ error }, 'the lock was not released cleanly');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await this.#released;
  }
}
