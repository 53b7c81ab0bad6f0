import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DropbackError, throwIfAborted } from '../../../runtime/errors.ts';
import type { PackedNames } from './packed-names.ts';

/**
 * What `pg_dump --verbose` with several jobs says once a table's file is closed. Its text is printed at
 * once, but its beginning may be mixed with another line's.
 */
const FINISHED = /^(?:pg_dump:| )*finished item (\d+) TABLE DATA /;
const ENDINGS = ['.dat.zst', '.dat.gz', '.dat'];

/**
 * The files of a directory-format dump that grows, handed on to be packed as pg_dump says that
 * it is done with them. A line of pg_dump can be made up, by a table's name with a line end in it: what
 * has grown after it was handed on is noticed at the end.
 */
export class FinishedFiles {
  readonly #folder: string;
  readonly #names: PackedNames;
  /** Bytes that they had when they were handed on. pg_dump only appends: the same size is the same file. */
  readonly #handedOn = new Map<string, number>();
  /** The looks at the disk, one after the other: however slow it is, nothing else waits for it. */
  #looking = Promise.resolve();

  constructor(folder: string, names: PackedNames) {
    this.#folder = folder;
    this.#names = names;
  }

  /** A line of pg_dump's standard error. */
  noticed(line: string): void {
    const item = FINISHED.exec(line)?.[1];
    if (item !== undefined) this.#looking = this.#looking.then(() => this.#handOn(item));
  }

  /**
   * pg_dump is through: hands on what is left; returns the bytes of all files. Throws
   * `backup/dump-failed` where one wasn't done when it was said to be.
   */
  async rest(signal: AbortSignal): Promise<number> {
    await this.#looking;
    let bytes = 0;
    for (const name of (await readdir(this.#folder)).toSorted()) {
      throwIfAborted(signal);
      const { size } = await lstat(join(this.#folder, name));
      if ((this.#handedOn.get(name) ?? size) !== size) throw grown(name);
      bytes += size;
      this.#names.add(name);
    }
    this.#names.complete();
    return bytes;
  }

  /** What isn't found, or can't be looked at, is left to `rest`. */
  async #handOn(item: string): Promise<void> {
    for (const ending of ENDINGS) {
      const name = item + ending;
      if (this.#names.has(name)) return;
      const found = await lstat(join(this.#folder, name)).catch(() => undefined);
      if (!found) continue;
      this.#handedOn.set(name, found.size);
      this.#names.add(name);
      return;
    }
  }
}

/**
 * Whether a dump failed for what a name in pg_dump's messages may have made up. With one job pg_dump
 * isn't asked to name what it is at, and nothing is packed before it has ended.
 */
export function mayBeMadeUp(error: DropbackError): boolean {
  const { program, stderr } = error.facts as { program?: string; stderr?: readonly string[] };
  if (error.code === 'backup/dump-failed') return true;
  return (
    program === 'tar' &&
    /file changed as we read it|File shrank|File removed/.test((stderr ?? []).join('\n'))
  );
}

function grown(file: string): DropbackError {
  return new DropbackError('backup/dump-failed', `${file} was packed before it was done`, {
    hint: 'look for a table whose name has a line end in it, and for programs that write to the volume of BACKUP_DIR.',
    facts: { file },
  });
}
