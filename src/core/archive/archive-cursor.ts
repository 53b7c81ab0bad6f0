/** What is read of a pg_dump archive: integers, texts, through one window. */

/** What isn't laid out as pg_dump lays it out (or as none does that is known). */
export class NotUnderstood extends Error {
  constructor(message = 'not laid out as pg_dump does it') {
    super(message);
  }
}

/** The file ends where more has to follow. */
export class EndsEarly extends NotUnderstood {
  constructor(message = 'it ends too early') {
    super(message);
  }
}

const WINDOW_BYTES = 256 * 1024;
const MOST_NAME_BYTES = 64 * 1024;

/** Yields where the cursor's window has to be filled from its position on: whoever drives it reads. */
export type Walk<T> = Generator<void, T>;

export function* readByte(cursor: Cursor): Walk<number> {
  if (!cursor.holds(1)) yield;
  return cursor.byte();
}

export function* readInt(cursor: Cursor): Walk<number> {
  if (!cursor.holds(1 + cursor.intBytes)) yield;
  return cursor.int();
}

/** False for a null text, which also ends a list. */
export function* skipText(cursor: Cursor): Walk<boolean> {
  const length = yield* readInt(cursor);
  if (length < 0) return false;
  cursor.skip(length);
  return true;
}

/** The bytes as latin1; undefined for a null text, and for one that is longer than any name. */
export function* readName(cursor: Cursor): Walk<string | undefined> {
  const length = yield* readInt(cursor);
  if (length < 0) return undefined;
  if (length > MOST_NAME_BYTES) {
    cursor.skip(length);
    return undefined;
  }
  if (!cursor.holds(length)) yield;
  return cursor.text(length);
}

/** Goes forward through one window; what is skipped beyond it isn't read. */
export class Cursor {
  /** One for the whole archive: what is made anew for each part stays until it is collected. */
  readonly window = Buffer.allocUnsafe(WINDOW_BYTES);
  position = 0;
  /** Of an integer, without its byte of sign; as the header says. */
  intBytes = 4;
  readonly #size: number;
  #start = 0;
  #end = 0;

  /** `from`: where the archive begins in its file; `size`: where it ends there. */
  constructor(size: number, from = 0) {
    this.#size = size;
    this.position = from;
  }

  get atEnd(): boolean {
    return this.position >= this.#size;
  }

  /** False where the window has to be filled first. Throws EndsEarly where the file hasn't so many. */
  holds(bytes: number): boolean {
    const end = this.position + bytes;
    if (end > this.#size) throw new EndsEarly();
    return this.position >= this.#start && end <= this.#end;
  }

  byte(): number {
    return this.window[this.position++ - this.#start] ?? 0;
  }

  /** One byte of sign, then the magnitude, least significant byte first. */
  int(): number {
    const at = this.position - this.#start;
    this.position += 1 + this.intBytes;
    const magnitude = this.window.readUIntLE(at + 1, this.intBytes);
    return this.window[at] === 0 ? magnitude : -magnitude;
  }

  text(bytes: number): string {
    const at = this.position - this.#start;
    this.position += bytes;
    return this.window.toString('latin1', at, at + bytes);
  }

  skip(bytes: number): void {
    this.position += bytes;
    if (this.position > this.#size) throw new EndsEarly();
  }

  /** What is to be read into the window, until it is full; each followed by `filled`. */
  *refill(): Generator<{ offset: number; length: number; position: number }> {
    this.#start = this.position;
    this.#end = this.position;
    const end = Math.min(this.#size, this.#start + WINDOW_BYTES);
    while (this.#end < end) {
      const offset = this.#end - this.#start;
      yield { offset, length: end - this.#end, position: this.#end };
    }
  }

  /** The file has become shorter where nothing was read. */
  filled(bytes: number): void {
    if (bytes === 0) throw new EndsEarly();
    this.#end += bytes;
  }
}
