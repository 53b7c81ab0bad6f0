const ENTRY = /^pg_restore: from TOC entry (\d+); /;
const ERROR = /^pg_restore: error: (.*)$/;
const IGNORED = /errors ignored on restore: (\d+)$/;

export interface EntryError {
  /** Undefined where no entry of the archive is to blame. */
  readonly dumpId: number | undefined;
  readonly message: string;
}

/** The errors of a pg_restore that goes on after them and says where it is (`--verbose`). */
export class EntryErrors {
  readonly all: EntryError[] = [];
  #dumpId: number | undefined;
  #counted: number | undefined;

  push(line: string): void {
    const entry = ENTRY.exec(line)?.[1];
    if (entry !== undefined) this.#dumpId = Number(entry);
    const message = ERROR.exec(line)?.[1];
    if (message !== undefined) this.all.push({ dumpId: this.#dumpId, message });
    const counted = IGNORED.exec(line)?.[1];
    if (counted !== undefined) this.#counted = Number(counted);
  }

  /** pg_restore came to its end, and no error of its count was missed. */
  get isWhole(): boolean {
    return this.#counted === this.all.length;
  }
}
