import type { FileHandle } from 'node:fs/promises';
import { readAt } from '../../core/archive/detect.ts';

const BLOCK_DATA = 1;
const BLOCK_LARGE_OBJECTS = 3;
const OFFSET_NO_DATA = 3;
const MOST_ENTRIES = 10_000_000;

class EndsEarly extends Error {}
class NotUnderstood extends Error {}

/**
 * Whether a pg_dump custom archive ends before its last data block: the table of contents and the
 * lengths of all blocks are read, no content is. False as well for what isn't understood (formats
 * before 1.12, damage): the full read after the claim judges that.
 * Layout: PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c (ReadHead, ReadToc) and
 * pg_backup_custom.c (_ReadExtraToc, _readBlockHeader).
 */
export async function customArchiveEndsEarly(
  file: FileHandle,
  signal: AbortSignal,
): Promise<boolean> {
  const reader = new Reader(file, (await file.stat()).size, signal);
  try {
    const head = await readHeader(reader);
    const expected = await readToc(reader, head);
    const found = await countBlocks(reader, head.intBytes);
    return found < expected;
  } catch (error) {
    if (error instanceof EndsEarly) return true;
    if (error instanceof NotUnderstood) return false;
    throw error;
  }
}

interface Header {
  readonly version: number;
  readonly intBytes: number;
  readonly offsetBytes: number;
}

async function readHeader(reader: Reader): Promise<Header> {
  await reader.skip(5);
  const version = (await reader.byte()) * 100 + (await reader.byte());
  await reader.skip(1);
  const intBytes = await reader.byte();
  const offsetBytes = await reader.byte();
  const format = await reader.byte();
  if (version < 112 || version > 199 || format !== 1 || intBytes > 6) throw new NotUnderstood();
  if (version >= 115) await reader.skip(1);
  else await reader.int(intBytes);
  for (let field = 0; field < 7; field++) await reader.int(intBytes);
  for (let name = 0; name < 3; name++) await reader.skipText(intBytes);
  return { version, intBytes, offsetBytes };
}

/** Number of entries that must have a data block. */
async function readToc(reader: Reader, head: Header): Promise<number> {
  const { version, intBytes } = head;
  const entries = await reader.int(intBytes);
  if (entries < 0 || entries > MOST_ENTRIES) throw new NotUnderstood();
  let withData = 0;
  for (let entry = 0; entry < entries; entry++) {
    await reader.int(intBytes);
    const hasDumper = (await reader.int(intBytes)) !== 0;
    for (let text = 0; text < 4; text++) await reader.skipText(intBytes);
    await reader.int(intBytes);
    // Definition, drop, copy, namespace, tablespace, and since 1.14 the access method.
    for (let text = 0; text < (version >= 114 ? 6 : 5); text++) await reader.skipText(intBytes);
    if (version >= 116) await reader.int(intBytes);
    for (let text = 0; text < 2; text++) await reader.skipText(intBytes);
    while (await reader.skipText(intBytes));
    const offsetState = await reader.byte();
    await reader.skip(head.offsetBytes);
    if (hasDumper && offsetState !== OFFSET_NO_DATA) withData++;
  }
  return withData;
}

async function countBlocks(reader: Reader, intBytes: number): Promise<number> {
  let blocks = 0;
  while (!reader.atEnd) {
    const type = await reader.byte();
    await reader.int(intBytes);
    if (type === BLOCK_DATA) await skipChunks(reader, intBytes);
    else if (type === BLOCK_LARGE_OBJECTS) {
      while ((await reader.int(intBytes)) !== 0) await skipChunks(reader, intBytes);
    } else throw new NotUnderstood();
    blocks++;
  }
  return blocks;
}

async function skipChunks(reader: Reader, intBytes: number): Promise<void> {
  for (;;) {
    const length = await reader.int(intBytes);
    if (length === 0) return;
    if (length < 0) throw new NotUnderstood();
    await reader.skip(length);
  }
}

/** Reads forward through a window of 1 MiB; skipping costs nothing. */
class Reader {
  static readonly #windowBytes = 1024 * 1024;
  readonly #file: FileHandle;
  readonly #size: number;
  readonly #signal: AbortSignal;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;

  constructor(file: FileHandle, size: number, signal: AbortSignal) {
    this.#file = file;
    this.#size = size;
    this.#signal = signal;
  }

  get atEnd(): boolean {
    return this.#position >= this.#size;
  }

  async byte(): Promise<number> {
    const bytes = await this.#take(1);
    return bytes[0] ?? 0;
  }

  /** One byte of sign, then the magnitude, least significant byte first. */
  async int(bytes: number): Promise<number> {
    const field = await this.#take(bytes + 1);
    const magnitude = field.readUIntLE(1, bytes);
    return field[0] === 0 ? magnitude : -magnitude;
  }

  /** False for a null text, which also ends a list. */
  async skipText(intBytes: number): Promise<boolean> {
    const length = await this.int(intBytes);
    if (length < 0) return false;
    await this.skip(length);
    return true;
  }

  async skip(bytes: number): Promise<void> {
    this.#position += bytes;
    if (this.#position > this.#size) throw new EndsEarly();
  }

  async #take(bytes: number): Promise<Buffer> {
    if (this.#position + bytes > this.#size) throw new EndsEarly();
    const inWindow =
      this.#position >= this.#windowStart &&
      this.#position + bytes <= this.#windowStart + this.#window.length;
    if (!inWindow) {
      this.#signal.throwIfAborted();
      this.#window = await readAt(this.#file, this.#position, Reader.#windowBytes);
      this.#windowStart = this.#position;
      if (this.#window.length < bytes) throw new EndsEarly();
    }
    const at = this.#position - this.#windowStart;
    this.#position += bytes;
    return this.#window.subarray(at, at + bytes);
  }
}
