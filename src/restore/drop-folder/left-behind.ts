import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../core/observability/log.ts';
import { writeDurably } from '../../core/runtime/durable-files.ts';

/** In the folder of the state file. */
export const LEFT_BEHIND_FILE = 'left-behind.json';
/** Of the latest; each is some forty bytes. */
const MOST_KNOWN = 1000;

/**
 * What was reported, and had to stay in the drop folder: another mount, a folder or a file of
 * another user's. Known by its signature, and durable, so that it isn't taken up and reported again
 * at every look and every start. One that is written anew is another drop.
 */
export class LeftBehind {
  readonly #path: string;
  readonly #log: Logger;
  #signatures: string[] = [];

  constructor(stateFile: string, log: Logger) {
    this.#path = join(dirname(stateFile), LEFT_BEHIND_FILE);
    this.#log = log;
  }

  /** A list that can't be read costs a second report, nothing else. */
  async load(): Promise<void> {
    try {
      const read: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      if (Array.isArray(read)) this.#signatures = read.filter((one) => typeof one === 'string');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#log.warn({ error }, 'what stays in the drop folder is looked at once more');
    }
  }

  has(signature: string): boolean {
    return this.#signatures.includes(signature);
  }

  async add(signature: string): Promise<void> {
    this.#signatures = [...this.#signatures, signature].slice(-MOST_KNOWN);
    try {
      await writeDurably(this.#path, `${JSON.stringify(this.#signatures)}\n`);
    } catch (error) {
      this.#log.warn({ error }, 'what stays in the drop folder could not be noted');
    }
  }
}
