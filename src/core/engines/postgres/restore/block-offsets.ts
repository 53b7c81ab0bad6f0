import { fstatSync, readSync, writeSync } from 'node:fs';

const BLOCK_DATA = 1;
const BLOCK_LARGE_OBJECTS = 3;
const OFFSET_NOT_SET = 1;
const OFFSET_SET = 2;
const MOST_ENTRIES = 10_000_000;
const WINDOW_BYTES = 1024 * 1024;

/** What isn't laid out as expected; nothing has been written then. */
export class NotUnderstood extends Error {}

/**
 * Writes into the table of contents of a custom archive where the data of each entry begin, as
 * pg_dump itself does where its output is a file. Through a pipe it can't, and then each worker of
 * pg_restore looks for a table by reading the head of every row before it. Returns how many were
 * set. Everything is read before anything is written.
 * Layout: PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c (ReadHead, ReadToc, WriteOffset) and
 * pg_backup_custom.c (_StartData, _readBlockHeader).
 */
export function setBlockOffsets(descriptor: number): number {
  const reader = new Reader(descriptor);
  const head = readHeader(reader);
  const fields = readToc(reader, head);
  const blocks = readBlocks(reader, head.intBytes);
  let set = 0;
  for (const [dumpId, field] of fields) {
    const start = blocks.get(dumpId);
    if (start === undefined) continue;
    const bytes = Buffer.alloc(1 + head.offsetBytes);
    bytes[0] = OFFSET_SET;
    bytes.writeBigUInt64LE(BigInt(start), 1);
    if (writeSync(descriptor, bytes, 0, bytes.length, field) !== bytes.length) {
      throw new Error('a short write');
    }
    set++;
  }
  return set;
}

interface Header {
  readonly version: number;
  readonly intBytes: number;
  readonly offsetBytes: number;
}

function readHeader(reader: Reader): Header {
  if (reader.text(5) !== 'PGDMP') throw new NotUnderstood();
  const version = reader.byte() * 100 + reader.byte();
  reader.skip(1);
  const intBytes = reader.byte();
  const offsetBytes = reader.byte();
  const format = reader.byte();
  const isKnown = version >= 112 && version <= 116 && format === 1;
  if (!isKnown || intBytes > 6 || offsetBytes !== 8) throw new NotUnderstood();
  if (version >= 115) reader.skip(1);
  else reader.int(intBytes);
  for (let field = 0; field < 7; field++) reader.int(intBytes);
  for (let name = 0; name < 3; name++) reader.skipText(intBytes);
  return { version, intBytes, offsetBytes };
}

/** Dump id → position of the offset that isn't set yet. */
function readToc(reader: Reader, head: Header): Map<number, number> {
  const { version, intBytes } = head;
  const fields = new Map<number, number>();
  const entries = reader.int(intBytes);
  if (entries < 0 || entries > MOST_ENTRIES) throw new NotUnderstood();
  for (let entry = 0; entry < entries; entry++) {
    const dumpId = reader.int(intBytes);
    reader.int(intBytes);
    for (let text = 0; text < 4; text++) reader.skipText(intBytes);
    reader.int(intBytes);
    // Definition, drop, copy, namespace, tablespace, and since 1.14 the access method.
    for (let text = 0; text < (version >= 114 ? 6 : 5); text++) reader.skipText(intBytes);
    if (version >= 116) reader.int(intBytes);
    for (let text = 0; text < 2; text++) reader.skipText(intBytes);
    while (reader.skipText(intBytes));
    const field = reader.position;
    const state = reader.byte();
    reader.skip(head.offsetBytes);
    if (state === OFFSET_NOT_SET) fields.set(dumpId, field);
  }
  return fields;
}

/** Dump id → position of its block. */
function readBlocks(reader: Reader, intBytes: number): Map<number, number> {
  const blocks = new Map<number, number>();
  while (!reader.atEnd) {
    const start = reader.position;
    const type = reader.byte();
    const dumpId = reader.int(intBytes);
    if (blocks.has(dumpId)) throw new NotUnderstood();
    if (type === BLOCK_DATA) skipChunks(reader, intBytes);
    else if (type === BLOCK_LARGE_OBJECTS) {
      while (reader.int(intBytes) !== 0) skipChunks(reader, intBytes);
    } else throw new NotUnderstood();
    blocks.set(dumpId, start);
  }
  return blocks;
}

function skipChunks(reader: Reader, intBytes: number): void {
  for (;;) {
    const length = reader.int(intBytes);
    if (length === 0) return;
    if (length < 0) throw new NotUnderstood();
    reader.skip(length);
  }
}

/** Reads forward through a window; what is skipped beyond it isn't read. */
class Reader {
  readonly #descriptor: number;
  readonly #size: number;
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES);
  #windowStart = 0;
  #windowEnd = 0;
  #position = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#size = fstatSync(descriptor).size;
  }

  get position(): number {
    return this.#position;
  }

  get atEnd(): boolean {
    return this.#position >= this.#size;
  }

  byte(): number {
    return this.#window[this.#take(1)] ?? 0;
  }

  /** One byte of sign, then the magnitude, least significant byte first. */
  int(bytes: number): number {
    const at = this.#take(bytes + 1);
    const magnitude = this.#window.readUIntLE(at + 1, bytes);
    return this.#window[at] === 0 ? magnitude : -magnitude;
  }

  text(bytes: number): string {
    const at = this.#take(bytes);
    return this.#window.toString('latin1', at, at + bytes);
  }

  /** False for a null text, which also ends a list. */
  skipText(intBytes: number): boolean {
    const length = this.int(intBytes);
    if (length < 0) return false;
    this.skip(length);
    return true;
  }

  skip(bytes: number): void {
    this.#position += bytes;
    if (this.#position > this.#size) throw new NotUnderstood();
  }

  /** Index in the window of so many bytes, which are behind the position then. */
  #take(bytes: number): number {
    const end = this.#position + bytes;
    if (end > this.#size) throw new NotUnderstood();
    if (this.#position < this.#windowStart || end > this.#windowEnd) this.#fill();
    const at = this.#position - this.#windowStart;
    this.#position = end;
    return at;
  }

  #fill(): void {
    this.#windowStart = this.#position;
    this.#windowEnd = this.#position;
    const most = Math.min(WINDOW_BYTES, this.#size - this.#position);
    while (this.#windowEnd - this.#windowStart < most) {
      const filled = this.#windowEnd - this.#windowStart;
      const read = readSync(
        this.#descriptor,
        this.#window,
        filled,
        most - filled,
        this.#windowStart + filled,
      );
      if (read === 0) throw new NotUnderstood();
      this.#windowEnd += read;
    }
  }
}
