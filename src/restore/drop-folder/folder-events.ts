import { type FSWatcher, watch } from 'node:fs';
import type { Logger } from '../../core/observability/log.ts';
import { lookAt } from './scan.ts';

/**
 * File events of a few folders. They only hasten the next scan: what they say is not relied on, and
 * where there are none (network mounts) the scans do without. One watch a folder, however many
 * files are in it.
 */
export class FolderEvents {
  readonly #folders: readonly string[];
  readonly #log: Logger;
  readonly #onEvent: () => void;
  readonly #watched = new Map<string, { readonly identity: string; readonly events: FSWatcher }>();
  #isTold = false;

  constructor(folders: readonly string[], log: Logger, onEvent: () => void) {
    this.#folders = folders;
    this.#log = log;
    this.#onEvent = onEvent;
  }

  /** Listens to what the folders are now: one that was replaced has another inode. Never throws. */
  async refresh(): Promise<void> {
    for (const folder of this.#folders) {
      const stats = await lookAt(folder).catch(() => undefined);
      const identity = stats && `${stats.dev}:${stats.ino}`;
      if (this.#watched.get(folder)?.identity === identity) continue;
      this.#forget(folder);
      if (identity !== undefined) this.#listen(folder, identity);
    }
  }

  close(): void {
    for (const folder of this.#folders) this.#forget(folder);
  }

  #listen(folder: string, identity: string): void {
    try {
      const events = watch(folder, { persistent: false }, this.#onEvent);
      events.on('error', (error) => this.#tell(error));
      this.#watched.set(folder, { identity, events });
    } catch (error) {
      this.#tell(error);
    }
  }

  #forget(folder: string): void {
    this.#watched.get(folder)?.events.close();
    this.#watched.delete(folder);
  }

  #tell(error: unknown): void {
    if (!this.#isTold) {
      this.#log.warn({ error }, 'no file events here: the folder is rescanned instead');
    }
    this.#isTold = true;
  }
}
