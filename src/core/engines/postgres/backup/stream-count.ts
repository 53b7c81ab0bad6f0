import { EndsEarly, NotUnderstood } from '../../../archive/archive-cursor.ts';
import {
  type ArchiveEntry,
  BLOCK_DATA,
  BLOCK_LARGE_OBJECTS,
  type CustomHead,
  readCustomHead,
} from '../../../archive/custom-archive.ts';
import { BEHIND_ROWS, encodingOf, TableRows } from './archive-tables.ts';
import { CopyRows } from './read-back-rows.ts';
import type { ArchiveCount } from './read-back-scanner.ts';

/** The table of contents is tried with so much of it, then with twice as much, and so on. */
const FIRST_TRY_BYTES = 256 * 1024;
const MOST_HEAD_BYTES = 1024 ** 3;
/** Sign, 6 bytes of an integer at most, and the block's type. */
const MOST_FIELD_BYTES = 8;

/**
 * Counts what a custom-format archive without compression holds, from its bytes in their order:
 * rows as they stand there, none of them kept. Everything has to be where the table of contents
 * says, to the last byte. Errors: NotUnderstood, EndsEarly; SyntaxError for what isn't as pg_dump leaves it.
 */
export class StreamCounter {
  /** All that was pushed. */
  contentBytes = 0;
  readonly #onHead: (head: Buffer) => void;
  #parts: Buffer[] | undefined = [];
  #tryAt = FIRST_TRY_BYTES;
  #blocks: BlockCounter | undefined;

  /** `onHead`: told header and table of contents as they are in the archive; may throw. */
  constructor(onHead: (head: Buffer) => void) {
    this.#onHead = onHead;
  }

  push(chunk: Buffer): void {
    this.contentBytes += chunk.length;
    if (this.#blocks) {
      this.#blocks.push(chunk);
      return;
    }
    // Copied, because a chunk's memory is the reader's to use again.
    this.#parts?.push(Buffer.from(chunk));
    if (this.contentBytes < this.#tryAt) return;
    this.#tryAt *= 2;
    if (this.#tryAt > MOST_HEAD_BYTES) throw new NotUnderstood();
    this.#readHead();
  }

  /** Nothing more comes. */
  end(): ArchiveCount {
    if (!this.#blocks) this.#readHead();
    if (!this.#blocks) throw new EndsEarly('the archive ends in its table of contents');
    return this.#blocks.end();
  }

  #readHead(): void {
    const bytes = Buffer.concat(this.#parts ?? []);
    this.#parts = [bytes];
    const head = unlessCut(() => readCustomHead(bytes));
    if (!head) return;
    this.#onHead(bytes.subarray(0, head.bytes));
    this.#parts = undefined;
    this.#blocks = new BlockCounter(head);
    this.#blocks.push(bytes.subarray(head.bytes));
  }
}

function unlessCut<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof EndsEarly) return undefined;
    throw error;
  }
}

/** What comes next: a block; the number of a large object, or none; the length of a piece of data, or none. */
type Field = 'block' | 'object' | 'length';

class BlockCounter {
  readonly #intBytes: number;
  readonly #awaited: Map<number, ArchiveEntry>;
  readonly #tables: TableRows;
  readonly #rows = new CopyRows();
  #largeObjects = 0;
  #field: Field = 'block';
  /** Of which the rows are being read; undefined in large objects. */
  #table: { rows: number } | undefined;
  #behind = '';
  /** Of the piece of data at hand. */
  #left = 0;
  /** A field that lies across two chunks. */
  readonly #cut = Buffer.alloc(MOST_FIELD_BYTES);
  #cutBytes = 0;

  constructor({ header, entries }: CustomHead) {
    this.#intBytes = header.intBytes;
    this.#tables = new TableRows(encodingOf(entries));
    this.#awaited = new Map(
      entries.filter(({ hasDumper }) => hasDumper).map((entry) => [entry.dumpId, entry]),
    );
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      at = this.#left > 0 ? this.#pushData(chunk, at) : this.#pushField(chunk, at);
    }
  }

  end(): ArchiveCount {
    if (this.#field !== 'block' || this.#cutBytes > 0) throw new EndsEarly('the archive is cut');
    const [missing] = this.#awaited.values();
    if (missing) throw new SyntaxError(`there are no data of ${describe(missing)}`);
    return { tables: this.#tables.list(), largeObjects: this.#largeObjects };
  }

  #pushData(chunk: Buffer, at: number): number {
    const end = Math.min(at + this.#left, chunk.length);
    this.#left -= end - at;
    if (!this.#table) return end;
    const next = this.#rows.isDone ? at : this.#rows.push(chunk, at, end);
    // One byte more than there may be.
    const room = BEHIND_ROWS.length + 1 - this.#behind.length;
    if (next < end && room > 0)
      this.#behind += chunk.toString('latin1', next, Math.min(end, next + room));
    return end;
  }

  #pushField(chunk: Buffer, at: number): number {
    const needed = 1 + this.#intBytes + (this.#field === 'block' ? 1 : 0);
    if (this.#cutBytes === 0 && at + needed <= chunk.length) {
      this.#take(chunk, at);
      return at + needed;
    }
    const copied = chunk.copy(this.#cut, this.#cutBytes, at, at + needed - this.#cutBytes);
    this.#cutBytes += copied;
    if (this.#cutBytes === needed) {
      this.#cutBytes = 0;
      this.#take(this.#cut, 0);
    }
    return at + copied;
  }

  #take(bytes: Buffer, at: number): void {
    if (this.#field === 'block') {
      this.#begin(bytes[at] ?? 0, this.#int(bytes, at + 1));
      return;
    }
    const value = this.#int(bytes, at);
    if (value < 0) throw new NotUnderstood();
    if (this.#field === 'object') {
      this.#field = value === 0 ? 'block' : 'length';
      if (value !== 0) this.#largeObjects++;
    } else if (value > 0) this.#left = value;
    else if (this.#table) this.#endTable(this.#table);
    else this.#field = 'object';
  }

  /** One byte of sign, then the magnitude, least significant byte first. */
  #int(bytes: Buffer, at: number): number {
    const magnitude =
      this.#intBytes === 4 ? bytes.readUInt32LE(at + 1) : bytes.readUIntLE(at + 1, this.#intBytes);
    return bytes[at] === 0 ? magnitude : -magnitude;
  }

  #begin(type: number, dumpId: number): void {
    const entry = this.#awaited.get(dumpId);
    if (!entry) throw new SyntaxError(`no entry names the data with number ${dumpId}`);
    this.#awaited.delete(dumpId);
    if (type === BLOCK_DATA && entry.description === 'TABLE DATA') {
      this.#table = this.#tables.of(entry);
      this.#rows.reset();
      this.#behind = '';
      this.#field = 'length';
    } else if (type === BLOCK_LARGE_OBJECTS && entry.description === 'BLOBS') {
      this.#table = undefined;
      this.#field = 'object';
    } else throw new SyntaxError(`data of an unknown kind: ${describe(entry)}`);
  }

  #endTable(table: { rows: number }): void {
    if (!this.#rows.isDone || this.#behind !== BEHIND_ROWS) {
      throw new SyntaxError("the rows of a table don't end as pg_dump ends them");
    }
    table.rows += this.#rows.count;
    this.#field = 'block';
  }
}

function describe({ description = 'an entry', schema = '', name = '' }: ArchiveEntry): string {
  return `${description} ${schema}.${name}`;
}
