import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArchiveId } from '../archive/archive-name.ts';
import { doubtOf } from '../archive/state-findings.ts';
import { ensureFolder, writeDurably } from '../runtime/durable-files.ts';
import type { LocalStore } from '../stores/local/store.ts';
import type { RehearsedBackup } from './backup-status.ts';

/** Whoever verifies writes it, the daemon reads it: it need not look at every state to know. */
const DOUBTS_FILE = 'doubts.json';
const MOST = 100;

/** Which backups a verification has left in doubt, for every process. */
export class Doubts {
  readonly #folder: string;
  readonly #local: LocalStore;

  /** `folder`: `ownFolder`. */
  constructor(folder: string, local: LocalStore) {
    this.#folder = folder;
    this.#local = local;
  }

  /** A verification of this backup was noted in its state. Throws what the file system says. */
  async noted(id: string): Promise<void> {
    const known = await this.#ids();
    const isKnown = known.includes(id);
    const isInDoubt = doubtOf(await this.#local.readState(id)) !== undefined;
    if (isKnown === isInDoubt) return;
    const ids = isInDoubt ? [...known, id].slice(-MOST) : known.filter((one) => one !== id);
    await ensureFolder(this.#folder);
    await writeDurably(join(this.#folder, DOUBTS_FILE), `${JSON.stringify({ ids }, null, 2)}\n`);
  }

  /** What stands against backups now; those that are gone, and their states with them, are not told. */
  async read(): Promise<RehearsedBackup[]> {
    const found: RehearsedBackup[] = [];
    for (const id of await this.#ids()) {
      const doubt = doubtOf(await this.#local.readState(id));
      if (doubt) found.push({ ...doubt, id });
    }
    return found;
  }

  async #ids(): Promise<string[]> {
    try {
      const { ids } = JSON.parse(await readFile(join(this.#folder, DOUBTS_FILE), 'utf8')) ?? {};
      const isId = (id: unknown) => typeof id === 'string' && parseArchiveId(id) !== undefined;
      return Array.isArray(ids) ? ids.filter(isId) : [];
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'EACCES' || error instanceof SyntaxError) return [];
      throw error;
    }
  }
}
