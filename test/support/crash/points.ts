import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The n-th point, or the first of this name after one whose name contains `after`. */
export type Target = number | { readonly name: string; readonly after: string };

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

  /** From now on points are counted, and this one is the end. */
  arm(target: Target): void {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(this.#passed, '');
    writeFileSync(this.#armed, JSON.stringify(target));
  }

  /** Name of the armed point once it was passed: the daemon has been ended there, or soon is. */
  get reachedName(): string | undefined {
    const record = this.#passedTarget();
    return record === undefined ? undefined : nameIn(record);
  }

  /** Stops counting; returns the names of the points that were passed, in order. */
  disarm(): string[] {
    rmSync(this.#armed, { force: true });
    return this.#records().map(nameIn);
  }

  /** True for the one caller that is to end the daemon here. */
  reached(name: string): boolean {
    if (this.#target() === undefined) return false;
    const id = randomUUID();
    // One write of O_APPEND: the order in the file is the order of all processes.
    appendFileSync(this.#passed, `${id} ${name}\n`);
    return this.#passedTarget()?.startsWith(id) ?? false;
  }

  #passedTarget(): string | undefined {
    const target = this.#target();
    if (target === undefined) return undefined;
    const records = this.#records();
    if (typeof target === 'number') return records[target - 1];
    const from = records.findIndex((record) => record.includes(target.after));
    return from < 0
      ? undefined
      : records.slice(from).find((record) => nameIn(record) === target.name);
  }

  #target(): Target | undefined {
    try {
      return JSON.parse(readFileSync(this.#armed, 'utf8')) as Target;
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

/** A record is an id and the name. */
function nameIn(record: string): string {
  return record.slice(record.indexOf(' ') + 1);
}
