import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recognise } from '../../src/core/archive/detect.ts';

/**
 * Looks into every file of some folders, over and over until it is ended, for a database in any form
 * that could be read without a key: by what a file is, by a row that is in it.
 */
export class PlaintextWatch implements AsyncDisposable {
  /** What was found, each once. */
  readonly found = new Set<string>();
  readonly #marker: string;
  readonly #folders: readonly string[];
  readonly #running: Promise<void>;
  #isOver = false;
  rounds = 0;

  constructor(marker: string, ...folders: string[]) {
    this.#marker = marker;
    this.#folders = folders;
    this.#running = this.#watch();
  }

  /** Looks once more, and ends. */
  async end(): Promise<string[]> {
    this.#isOver = true;
    await this.#running;
    await this.#round();
    return [...this.found].sort();
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      await this.#round();
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  async #round(): Promise<void> {
    this.rounds++;
    for (const folder of this.#folders) {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(
        () => [],
      );
      for (const entry of entries) {
        if (entry.isFile()) await this.#look(join(entry.parentPath, entry.name));
      }
    }
  }

  async #look(path: string): Promise<void> {
    // What has gone again was looked at in another round, or never had a name for long.
    const content = await readFile(path).catch(() => Buffer.alloc(0));
    const { kind, what } = recognise(content.subarray(0, 4096));
    if (['archive', 'compressed', 'tar'].includes(kind)) this.found.add(`${path}: ${what}`);
    if (content.includes(this.#marker)) this.found.add(`${path}: a row`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}
