import { type BigIntStats, lstatSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DropbackError, throwIfAborted } from '../../../runtime/errors.ts';
import type { PackedNames } from './packed-names.ts';

/** What `pg_dump --verbose` with several jobs says once a table's file is closed. */
const FINISHED = /^pg_dump: finished item (\d+) TABLE DATA /;
const ENDINGS = ['.dat.zst', '.dat.gz', '.dat'];

/**
 * The files of a directory-format dump that grows, handed on to be packed as pg_dump says that
 * it is done with them. A line of pg_dump can be made up, by a table's name with a line end in it: what
 * changed after it was handed on is noticed at the end.
 */
export class FinishedFiles {
  readonly #folder: string;
  readonly #names: PackedNames;
  /** What their files looked like when they were handed on. */
  readonly #seen = new Map<string, string>();

  constructor(folder: string, names: PackedNames) {
    this.#folder = folder;
    this.#names = names;
  }

  /** A line of pg_dump's standard error. */
  noticed(line: string): void {
    const item = FINISHED.exec(line)?.[1];
    if (item === undefined) return;
    for (const ending of ENDINGS) {
      const name = item + ending;
      if (this.#names.has(name)) continue;
      const path = join(this.#folder, name);
      const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      if (!found) continue;
      this.#seen.set(name, look(found));
      this.#names.add(name);
    }
  }

  /**
   * pg_dump is through: hands on what is left; returns the bytes of all files. Throws
   * `backup/dump-failed` where one wasn't done when it was said to be.
   */
  async rest(signal: AbortSignal): Promise<number> {
    let bytes = 0n;
    for (const name of (await readdir(this.#folder)).toSorted()) {
      throwIfAborted(signal);
      const found = await lstat(join(this.#folder, name), { bigint: true });
      const before = this.#seen.get(name);
      if (before !== undefined && before !== look(found)) throw changed(name);
      bytes += found.size;
      this.#names.add(name);
    }
    this.#names.complete();
    return Number(bytes);
  }
}

function look({ size, mtimeNs }: BigIntStats): string {
  return `${size} bytes, ${mtimeNs}`;
}

const CHANGED = 'it was packed before pg_dump was done with it';

/** Whether a dump failed for that; with one job nothing is packed before pg_dump has ended. */
export function isPackedTooEarly(error: DropbackError): boolean {
  const { program, stderr } = error.facts as { program?: string; stderr?: readonly string[] };
  if (error.code === 'backup/dump-failed') return error.facts['reason'] === CHANGED;
  return (
    program === 'tar' &&
    /file changed as we read it|File shrank|File removed/.test((stderr ?? []).join('\n'))
  );
}

function changed(file: string): DropbackError {
  return new DropbackError('backup/dump-failed', `the file ${file} of the dump has changed`, {
    hint: 'look for a table whose name has a line end in it, and for programs that write to the volume of BACKUP_DIR.',
    facts: { file, reason: CHANGED },
  });
}
