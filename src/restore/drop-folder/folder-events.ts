import { type FSWatcher, watch } from 'chokidar';
import type { Logger } from '../../core/observability/log.ts';
import { lookAt } from './scan.ts';

/**
 * File events of a few folders. They only hasten the next scan: what they say is not relied on, and
 * where there are none (network mounts) the scans do without.
 */
export class FolderEvents {
  readonly #folders: readonly string[];
  readonly #log: Logger;
  readonly #onEvent: () => void;
  #watched: { readonly identity: string; readonly events: FSWatcher } | undefined;
  #isTold = false;

  constructor(folders: readonly string[], log: Logger, onEvent: () => void) {
    this.#folders = folders;
    this.#log = log;
    this.#onEvent = onEvent;
  }

  /** Listens to what the folders are now: one that was replaced has another inode. Never throws. */
  async refresh(): Promise<void> {
    const identity = await this.#identity();
    if (this.#watched?.identity === identity) return;
    await this.close();
    this.#watched = { identity, events: this.#listen() };
  }

  async close(): Promise<void> {
    await this.#watched?.events.close();
    this.#watched = undefined;
  }

  async #identity(): Promise<string> {
    const looks = this.#folders.map(async (folder) => {
      const stats = await lookAt(folder).catch(() => undefined);
      return stats ? `${stats.dev}:${stats.ino}` : 'none';
    });
    return (await Promise.all(looks)).join(' ');
  }

  #listen(): FSWatcher {
    const events = watch([...this.#folders], {
      // One watch a folder, however many files are in it; what lies deeper is no drop.
      depth: 0,
      ignoreInitial: true,
      followSymlinks: false,
      atomic: false,
      ignorePermissionErrors: true,
      persistent: false,
    });
    events.on('all', this.#onEvent);
    events.on('error', (error) => {
      if (!this.#isTold) {
        this.#log.warn({ error }, 'no file events here: the folder is rescanned instead');
      }
      this.#isTold = true;
    });
    return events;
  }
}
