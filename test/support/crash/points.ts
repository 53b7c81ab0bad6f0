import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Instants of a restore at which a crash test can end it, counted across all processes that take
 * part: the daemon, its tools, and the servers in front of which the test stands. The one that
 * passes the armed point kills.
 */
export class Points {
  readonly folder: string;
  readonly #armed: string;
  readonly #passed: string;

  constructor(folder: string) {
    this.folder = folder;
    this.#armed = join(folder, 'armed');
    this.#passed = join(folder, 'passed');
  }

  /** From now on points are counted, and the `at`-th is the end. */
  arm(at: number): void {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(this.#passed, '');
    writeFileSync(this.#armed, String(at));
  }

  /** Stops counting; returns the names of the points that were passed, in order. */
  disarm(): string[] {
    rmSync(this.#armed, { force: true });
    return this.#records().map((line) => line.slice(line.indexOf(' ') + 1));
  }

  /** True for the one caller that is to end the daemon here. */
  reached(name: string): boolean {
    const at = this.#at();
    if (at === undefined) return false;
    const id = randomUUID();
    // One write of O_APPEND: the order in the file is the order of all processes.
    appendFileSync(this.#passed, `${id} ${name}\n`);
    return this.#records().findIndex((line) => line.startsWith(id)) === at - 1;
  }

  #at(): number | undefined {
    try {
      return Number(readFileSync(this.#armed, 'latin1'));
    } catch {
      return undefined;
    }
  }

  #records(): string[] {
    try {
      return readFileSync(this.#passed, 'utf8').split('\n').filter(Boolean);
    } catch {
      return [];
    }
  }
}
