import type { Logger } from '../observability/log.ts';
import { type OutboxState, writeOutbox } from './outbox-file.ts';

/** Keeps the present state of an outbox in its file: one write at a time, and only of what is new. */
export class OutboxSaving {
  readonly #file: string;
  readonly #stateNow: () => OutboxState;
  readonly #log: Logger;
  #isOpen = false;
  #isDirty = false;
  #isDiskBad = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: string, stateNow: () => OutboxState, log: Logger) {
    this.#file = file;
    this.#stateNow = stateNow;
    this.#log = log;
  }

  /** Nothing is written before: what the file holds has to be read first. */
  async open(): Promise<void> {
    this.#isOpen = true;
    if (this.#isDirty) await this.save();
  }

  /** Resolves when the present state is on the disk, or can't be. */
  save(): Promise<void> {
    this.#isDirty = true;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  /** When what is known is on the disk, or can't be. */
  saved(): Promise<void> {
    return this.#writing;
  }

  async #write(): Promise<void> {
    if (!this.#isDirty || !this.#isOpen) return;
    this.#isDirty = false;
    try {
      await writeOutbox(this.#file, this.#stateNow());
      this.#isDiskBad = false;
    } catch (error) {
      const file = this.#file;
      if (!this.#isDiskBad) this.#log.warn({ error, file }, 'alerts can not be noted durably');
      this.#isDiskBad = true;
    }
  }
}
