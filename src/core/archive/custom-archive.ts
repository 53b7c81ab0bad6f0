import { fstatSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Cursor, NotUnderstood, readByte, readInt, type Walk } from './archive-cursor.ts';
import { type ArchiveHeader, readHeader, readToc, type TocEntry } from './archive-toc.ts';

export interface ArchiveVisitor {
  /** Before the first entry. */
  header?(header: ArchiveHeader): void;
  /** Each entry of the table of contents. */
  entry?(entry: ArchiveEntry): void;
  /** Each block of data, when it has been passed over. */
  block?(block: ArchiveBlock): void;
}

export interface ArchiveEntry extends TocEntry {
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

export const BLOCK_DATA = 1;
export const BLOCK_LARGE_OBJECTS = 3;

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

export interface CustomHead {
  readonly header: ArchiveHeader;
  readonly entries: readonly ArchiveEntry[];
  /** Where the first block begins. */
  readonly bytes: number;
}

/** Header and table of contents, from an archive's first bytes. Throws NotUnderstood; EndsEarly where there is more of it. */
export function readCustomHead(bytes: Buffer): CustomHead {
  const cursor = new Cursor(bytes.length);
  const entries: ArchiveEntry[] = [];
  const walk = walkHead(cursor, { entry: (entry) => entries.push(entry) });
  for (let step = walk.next(); ; step = walk.next()) {
    if (step.done) return { header: step.value, entries, bytes: cursor.position };
    for (const { offset, length, position } of cursor.refill()) {
      cursor.filled(bytes.copy(cursor.window, offset, position, position + length));
    }
  }
}

function* walkArchive(cursor: Cursor, visitor: ArchiveVisitor): Walk<void> {
  yield* walkHead(cursor, visitor);
  yield* readBlocks(cursor, visitor);
}

function* walkHead(cursor: Cursor, visitor: ArchiveVisitor): Walk<ArchiveHeader> {
  const header = yield* readHeader(cursor, 'custom');
  visitor.header?.(header);
  const place = function* (): Walk<Pick<ArchiveEntry, 'offsetState' | 'offsetField'>> {
    const offsetField = cursor.position;
    const offsetState = yield* readByte(cursor);
    cursor.skip(header.offsetBytes);
    return { offsetState, offsetField };
  };
  yield* readToc(cursor, header, place, (entry) => visitor.entry?.(entry));
  return header;
}

/** Layout of the blocks: PostgreSQL's src/bin/pg_dump/pg_backup_custom.c (_readBlockHeader). */
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
