import { fstatSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

/** What isn't laid out as pg_dump lays it out (or as none does that is known). */
export class NotUnderstood extends Error {}

/** The file ends where more has to follow. */
export class EndsEarly extends NotUnderstood {}

export interface ArchiveVisitor {
  /** Before the first entry. */
  header?(header: ArchiveHeader): void;
  /** Each entry of the table of contents. */
  entry?(entry: ArchiveEntry): void;
  /** Each block of data, when it has been passed over. */
  block?(block: ArchiveBlock): void;
}

export interface ArchiveHeader {
  /** Of the format: 116 is 1.16. */
  readonly version: number;
  readonly intBytes: number;
  readonly offsetBytes: number;
}

export interface ArchiveEntry {
  readonly dumpId: number;
  /** Whether it has data of its own, which may be none. */
  readonly hasDumper: boolean;
  readonly offsetState: number;
  /** Position in the file of `offsetState`, behind which the offset itself stands. */
  readonly offsetField: number;
}

export interface ArchiveBlock {
  readonly dumpId: number;
  /** Position in the file. */
  readonly start: number;
}

export const OFFSET_NOT_SET = 1;
export const OFFSET_SET = 2;
export const OFFSET_NO_DATA = 3;

const BLOCK_DATA = 1;
const BLOCK_LARGE_OBJECTS = 3;
const MOST_ENTRIES = 10_000_000;
const WINDOW_BYTES = 256 * 1024;

/**
 * Passes over a pg_dump custom archive: table of contents and the lengths of all blocks are read, no
 * content is. Formats 1.12 to 1.16. Throws NotUnderstood, EndsEarly.
 */
export async function visitArchive(
  file: FileHandle,
  visitor: ArchiveVisitor,
  signal: AbortSignal,
): Promise<void> {
  const cursor = new Cursor((await file.stat()).size);
  const walk = walkArchive(cursor, visitor);
  while (!walk.next().done) {
    signal.throwIfAborted();
    for (const wanted of cursor.refill()) {
      const { bytesRead } = await file.read(cursor.window, wanted);
      cursor.filled(bytesRead);
    }
  }
}

/** The same for a process of its own, which may wait for the disk. */
export function visitArchiveSync(descriptor: number, visitor: ArchiveVisitor): void {
  const cursor = new Cursor(fstatSync(descriptor).size);
  const walk = walkArchive(cursor, visitor);
  while (!walk.next().done) {
    for (const wanted of cursor.refill()) {
      cursor.filled(readSync(descriptor, cursor.window, wanted));
    }
  }
}

/**
 * Yields where the cursor's window has to be filled from its position on: whoever drives it reads.
 * Layout: PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c (ReadHead, ReadToc) and
 * pg_backup_custom.c (_ReadExtraToc, _readBlockHeader).
 */
type Walk<T> = Generator<void, T>;

function* walkArchive(cursor: Cursor, visitor: ArchiveVisitor): Walk<void> {
  const header = yield* readHeader(cursor);
  visitor.header?.(header);
  yield* readToc(cursor, header, visitor);
  yield* readBlocks(cursor, visitor);
}

function* readHeader(cursor: Cursor): Walk<ArchiveHeader> {
  for (const byte of Buffer.from('PGDMP')) {
    if ((yield* readByte(cursor)) !== byte) throw new NotUnderstood();
  }
  const version = (yield* readByte(cursor)) * 100 + (yield* readByte(cursor));
  cursor.skip(1);
  const intBytes = yield* readByte(cursor);
  const offsetBytes = yield* readByte(cursor);
  const format = yield* readByte(cursor);
  const isKnown = version >= 112 && version <= 116 && format === 1;
  if (!isKnown || intBytes < 1 || intBytes > 6) throw new NotUnderstood();
  cursor.intBytes = intBytes;
  if (version >= 115) cursor.skip(1);
  else yield* readInt(cursor);
  for (let field = 0; field < 7; field++) yield* readInt(cursor);
  for (let name = 0; name < 3; name++) yield* skipText(cursor);
  return { version, intBytes, offsetBytes };
}

function* readToc(cursor: Cursor, header: ArchiveHeader, visitor: ArchiveVisitor): Walk<void> {
  const { version, offsetBytes } = header;
  const entries = yield* readInt(cursor);
  if (entries < 0 || entries > MOST_ENTRIES) throw new NotUnderstood();
  for (let entry = 0; entry < entries; entry++) {
    const dumpId = yield* readInt(cursor);
    const hasDumper = (yield* readInt(cursor)) !== 0;
    for (let text = 0; text < 4; text++) yield* skipText(cursor);
    yield* readInt(cursor);
    // Definition, drop, copy, namespace, tablespace, and since 1.14 the access method.
    for (let text = 0; text < (version >= 114 ? 6 : 5); text++) yield* skipText(cursor);
    if (version >= 116) yield* readInt(cursor);
    for (let text = 0; text < 2; text++) yield* skipText(cursor);
    while (yield* skipText(cursor));
    const offsetField = cursor.position;
    const offsetState = yield* readByte(cursor);
    cursor.skip(offsetBytes);
    visitor.entry?.({ dumpId, hasDumper, offsetState, offsetField });
  }
}

function* readBlocks(cursor: Cursor, visitor: ArchiveVisitor): Walk<void> {
  while (!cursor.atEnd) {
    const start = cursor.position;
    const type = yield* readByte(cursor);
    const dumpId = yield* readInt(cursor);
    if (type === BLOCK_DATA) yield* skipChunks(cursor);
    else if (type === BLOCK_LARGE_OBJECTS) {
      while ((yield* readInt(cursor)) !== 0) yield* skipChunks(cursor);
    } else throw new NotUnderstood();
    visitor.block?.({ dumpId, start });
  }
}

/** Without compression there is one for every row: no generator of its own for each. */
function* skipChunks(cursor: Cursor): Walk<void> {
  for (;;) {
    if (!cursor.holds(1 + cursor.intBytes)) yield;
    const length = cursor.int();
    if (length === 0) return;
    if (length < 0) throw new NotUnderstood();
    cursor.skip(length);
  }
}

function* readByte(cursor: Cursor): Walk<number> {
  if (!cursor.holds(1)) yield;
  return cursor.byte();
}

function* readInt(cursor: Cursor): Walk<number> {
  if (!cursor.holds(1 + cursor.intBytes)) yield;
  return cursor.int();
}

/** False for a null text, which also ends a list. */
function* skipText(cursor: Cursor): Walk<boolean> {
  const length = yield* readInt(cursor);
  if (length < 0) return false;
  cursor.skip(length);
  return true;
}

/** Goes forward through one window; what is skipped beyond it isn't read. */
class Cursor {
  /** One for the whole archive: what is made anew for each part stays until it is collected. */
  readonly window = Buffer.allocUnsafe(WINDOW_BYTES);
  position = 0;
  /** Of an integer, without its byte of sign; as the header says. */
  intBytes = 4;
  readonly #size: number;
  #start = 0;
  #end = 0;

  constructor(size: number) {
    this.#size = size;
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
