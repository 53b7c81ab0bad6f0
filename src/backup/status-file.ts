import { join } from 'node:path';
import type { Logger } from '../core/observability/log.ts';
import { BACKUP_STATUS_FILE, type BackupStatus } from '../core/requests/backup-status.ts';
import { ensureFolder, writeDurably } from '../core/runtime/durable-files.ts';
import { sweepNotes } from './sweep-notes.ts';

/** Keeps what the daemon says of itself in a file; one write at a time, and only of what is new. */
export class StatusFile {
  readonly #folder: string;
  readonly #log: Logger;
  #written = '';
  #writing: Promise<void> = Promise.resolve();
  #isBroken = false;
  #isSwept = false;

  constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Never rejects: a status that can't be written is no reason to fail a backup. */
  keep(status: BackupStatus): Promise<void> {
    const text = `${JSON.stringify(status, null, 2)}\n`;
    if (text !== this.#written) {
      this.#written = text;
      this.#writing = this.#writing.then(() => this.#write(text));
    }
    return this.#writing;
  }

  async #write(text: string): Promise<void> {
    try {
      await ensureFolder(this.#folder);
      if (!this.#isSwept) await sweepNotes(this.#folder);
      this.#isSwept = true;
      await writeDurably(join(this.#folder, BACKUP_STATUS_FILE), text);
      this.#isBroken = false;
    } catch (error) {
      // Told once: it would come with every change.
      if (!this.#isBroken) this.#log.warn({ error }, 'the status file could not be written');
      this.#isBroken = true;
    }
  }
}
