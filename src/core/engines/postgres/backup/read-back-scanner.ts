import { decoderOf } from './archive-encoding.ts';
import { CopyRows } from './read-back-rows.ts';

const NEWLINE = 0x0a;
const SINGLE = 0x27;
const DOUBLE = 0x22;
const DASH = 0x2d;
const SEMICOLON = 0x3b;
const BACKSLASH = 0x5c;
const COPY = 'COPY ';
const LARGE_OBJECT = 'SELECT pg_catalog.lo_open(';
const CLIENT_ENCODING = 'SET client_encoding = ';
/** A COPY line names 1,600 columns of 63 bytes at most; longer statements are never looked at. */
const MOST_STATEMENT_BYTES = 1024 * 1024;

export interface ArchiveTable {
  readonly schema: string;
  readonly name: string;
  readonly rows: number;
}

/** What is counted in an archive; JSON. */
export interface ArchiveCount {
  readonly tables: readonly ArchiveTable[];
  readonly largeObjects: number;
}

/**
 * Counts the rows of each COPY block, and the large objects, in what `pg_restore -a -f -` prints.
 * Memory is flat, whatever comes: of the text between the blocks only the statement at hand is
 * kept, of the blocks nothing.
 */
export class ArchiveScanner {
  largeObjects = 0;
  readonly #rows = new CopyRows();
  /** By the name as it stands in the archive, in its own encoding (kept as latin1). */
  readonly #tables = new Map<string, { schema: string; name: string; rows: number }>();
  #mode: 'start' | 'statement' | 'single' | 'double' | 'line' | 'copy line' | 'rows' = 'start';
  #table: { rows: number } | undefined;
  #parts: Buffer[] = [];
  #size = 0;
  #isFirstDash = false;
  #encoding = 'UTF8';

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      at = this.#mode === 'rows' ? this.#pushRows(chunk, at) : this.#pushText(chunk, at);
    }
  }

  /** Whether the text ended where a text may end; false for one that was cut. */
  get isComplete(): boolean {
    return this.#mode === 'start' || this.#mode === 'line';
  }

  /** What was counted, sorted by name. Throws RangeError for an encoding that Node can't decode. */
  tables(): ArchiveTable[] {
    const decode = decoderOf(this.#encoding);
    return [...this.#tables.values()].map(({ schema, name, rows }) => {
      return { schema: decode(schema), name: decode(name), rows };
    });
  }

  #pushRows(chunk: Buffer, from: number): number {
    const next = this.#rows.push(chunk, from);
    if (this.#rows.isDone) {
      if (this.#table) this.#table.rows += this.#rows.count;
      this.#mode = 'start';
    }
    return next;
  }

  /** Reads SQL up to the end of the chunk or to the first byte of a COPY block. */
  #pushText(chunk: Buffer, from: number): number {
    let start = from;
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      switch (this.#mode) {
        case 'start':
          if (byte <= 0x20) continue;
          start = at;
          // psql's own commands (\restrict) take a line, and so do comments.
          this.#mode = byte === BACKSLASH ? 'line' : 'statement';
          at--;
          continue;
        case 'line':
          at = skipPast(chunk, at, NEWLINE);
          if (at < chunk.length) this.#mode = 'start';
          continue;
        case 'single':
          at = skipPast(chunk, at, SINGLE);
          if (at < chunk.length) this.#mode = 'statement';
          continue;
        case 'double':
          at = skipPast(chunk, at, DOUBLE);
          if (at < chunk.length) this.#mode = 'statement';
          continue;
        case 'copy line':
          if (byte !== NEWLINE) continue;
          this.#mode = 'rows';
          this.#rows.reset();
          return at + 1;
        default:
          if (this.#continueStatement(byte)) continue;
          this.#keep(chunk, start, at + 1);
          this.#endStatement();
      }
    }
    if (this.#isInStatement) this.#keep(chunk, start, chunk.length);
    return chunk.length;
  }

  get #isInStatement(): boolean {
    return this.#mode === 'statement' || this.#mode === 'single' || this.#mode === 'double';
  }

  /** False for the byte that ends the statement. */
  #continueStatement(byte: number): boolean {
    if (byte === DASH) {
      if (this.#isFirstDash) {
        this.#mode = 'line';
        this.#drop();
      } else this.#isFirstDash = true;
      return true;
    }
    this.#isFirstDash = false;
    if (byte === SINGLE) this.#mode = 'single';
    else if (byte === DOUBLE) this.#mode = 'double';
    return byte !== SEMICOLON;
  }

  #keep(chunk: Buffer, from: number, to: number): void {
    this.#size += to - from;
    // Copied, because a chunk's memory is the stream's to use again.
    if (this.#size > MOST_STATEMENT_BYTES) this.#parts = [];
    else this.#parts.push(Buffer.from(chunk.subarray(from, to)));
  }

  #drop(): void {
    this.#parts = [];
    this.#size = 0;
    this.#isFirstDash = false;
  }

  #endStatement(): void {
    const text =
      this.#size > MOST_STATEMENT_BYTES ? '' : Buffer.concat(this.#parts).toString('latin1');
    this.#drop();
    this.#mode = 'start';
    if (text.startsWith(COPY) && text.endsWith(' FROM stdin;')) {
      this.#table = this.#tableOf(text.slice(COPY.length));
      this.#mode = 'copy line';
    } else if (text.startsWith(LARGE_OBJECT)) {
      this.largeObjects++;
    } else if (text.startsWith(CLIENT_ENCODING)) {
      this.#encoding = text.slice(CLIENT_ENCODING.length + 1, -2);
    }
  }

  #tableOf(text: string): { rows: number } {
    const [schema, next] = readIdentifier(text, 0);
    const [name, end] = readIdentifier(text, next + 1);
    if (text[next] !== '.' || text[end] !== ' ') {
      throw new SyntaxError(`not a COPY line that pg_dump writes: ${text.slice(0, 200)}`);
    }
    const key = `${schema}\0${name}`;
    let table = this.#tables.get(key);
    if (!table) {
      table = { schema, name, rows: 0 };
      this.#tables.set(key, table);
    }
    return table;
  }
}

/** Index of the next `byte` from `at` on, or the chunk's length. */
function skipPast(chunk: Buffer, at: number, byte: number): number {
  const found = chunk.indexOf(byte, at);
  return found === -1 ? chunk.length : found;
}

/** An identifier as pg_dump quotes it, and the position after it. */
function readIdentifier(text: string, from: number): [string, number] {
  if (text[from] !== '"') {
    const end = /[. ]/g;
    end.lastIndex = from;
    const at = end.exec(text)?.index ?? text.length;
    return [text.slice(from, at), at];
  }
  let name = '';
  for (let at = from + 1; ; ) {
    const quote = text.indexOf('"', at);
    if (quote === -1) throw new SyntaxError('an identifier without its closing quote');
    name += text.slice(at, quote);
    if (text[quote + 1] !== '"') return [name, quote + 1];
    name += '"';
    at = quote + 2;
  }
}
