import { countNewlines, WHITESPACE } from './bytes.ts';
import { CopyDataScanner } from './copy-data.ts';
import { type CopyHeader, parseCopyHeader } from './copy-header.ts';
import { ScriptEncoding } from './encoding.ts';
import type { ScriptEvent } from './events.ts';
import { gapAt } from './gap.ts';
import { StatementLexer } from './lexer.ts';
import { StatementReader } from './reader.ts';
import * as refuse from './refusals.ts';
import { readSetting } from './setting.ts';

export interface SplitterOptions {
  /** Longest statement that is held in memory, in bytes. INSERTs beyond it come in parts. */
  readonly longestStatement?: number;
}

const LONGEST_STATEMENT = 64 * 1024 * 1024;
/** Comments and meta-command lines wait for their end as well; nobody writes long ones. */
const LONGEST_LINE = 1024 * 1024;
const LONGEST_SETTING = 4096;
const NOTHING = Buffer.alloc(0);

/**
 * Divides a plain pg_dump script, chunk by chunk, into what psql would make of it. Memory is flat:
 * COPY data pass through, statements are held up to a limit. What spans chunks is copied, nothing else
 * is: an event's bytes are good until the next chunk is read into the same memory.
 *
 * Errors (all with the line): `drop/truncated`, `drop/meta-command` (a backslash within a
 * statement), `drop/not-text` (zero bytes), `drop/unsupported-syntax`,
 * `drop/unsupported-encoding`, `drop/statement-too-long`.
 */
export class ScriptSplitter {
  /** As the script has declared it so far. */
  encoding = new ScriptEncoding('UTF8');
  readonly #longestStatement: number;
  readonly #lexer = new StatementLexer();
  readonly #copyData = new CopyDataScanner();
  #mode: 'gap' | 'statement' | 'copy-line' | 'copy' = 'gap';
  #rest = NOTHING;
  /** Bytes of the unfinished statement in earlier chunks. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #colons: number[] = [];
  /** Parts of the unfinished statement that went out already. */
  #parts = 0;
  /** Where the next event begins. */
  #offset = 0;
  #line = 1;
  /** psql notices a change of standard_conforming_strings at the next line. */
  #nextStrings: boolean | undefined;
  #copy: CopyHeader | undefined;
  #event: ScriptEvent | undefined;

  constructor(options: SplitterOptions = {}) {
    this.#longestStatement = options.longestStatement ?? LONGEST_STATEMENT;
  }

  /** Whether plain '' literals are free of backslash escapes at this point of the script. */
  get standardStrings(): boolean {
    return this.#lexer.standardStrings;
  }

  /** The events that are complete with this chunk. Must be iterated to the end. */
  *push(chunk: Buffer): Generator<ScriptEvent> {
    const zero = chunk.indexOf(0);
    if (zero >= 0) throw refuse.nulByte(this.#offset + this.#heldBytes + this.#rest.length + zero);
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    yield* this.#run(bytes, false);
  }

  /** What remains, and the verdict: throws `drop/truncated` when the script ends within anything. */
  *end(): Generator<ScriptEvent> {
    yield* this.#run(this.#rest, true);
    if (this.#mode === 'gap' && this.#rest.length === 0) return;
    throw refuse.truncated(this.#whereItEnds(), { line: this.#line, offset: this.#offset });
  }

  *#run(bytes: Buffer, final: boolean): Generator<ScriptEvent> {
    let at = 0;
    while (at < bytes.length) {
      const mode = this.#mode;
      const next = this.#step(bytes, at, final);
      const event = this.#event;
      if (event) {
        this.#event = undefined;
        yield event;
      } else if (next === at && this.#mode === mode) {
        break;
      }
      at = next;
    }
    // A copy, because a few bytes must not keep a whole chunk alive.
    this.#rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : NOTHING;
  }

  #step(bytes: Buffer, at: number, final: boolean): number {
    if (this.#mode === 'statement') return this.#statement(bytes, at, final);
    if (this.#mode === 'copy') return this.#copyBlock(bytes, at);
    if (this.#mode === 'copy-line') return this.#copyLine(bytes, at);
    const gap = gapAt(bytes, at, this.#offset, final);
    if (gap.end === at && gap.kind === 'wait' && bytes.length - at > LONGEST_LINE) {
      throw refuse.statementTooLong(LONGEST_LINE, this.#place());
    }
    if (gap.kind === 'wait') return at;
    if (gap.kind !== 'blank' && gap.kind !== 'comment') this.#refuseBehindStringsSetting();
    if (gap.kind === 'statement') {
      this.#mode = 'statement';
      this.#lexer.reset();
      return at;
    }
    const located = { bytes: bytes.subarray(at, gap.end), ...this.#place() };
    this.#event = { kind: gap.kind, ...located };
    const lines = countNewlines(located.bytes);
    this.#advance(located.bytes.length, lines);
    if (lines > 0 && this.#nextStrings !== undefined) {
      this.#lexer.standardStrings = this.#nextStrings;
      this.#nextStrings = undefined;
    }
    return gap.end;
  }

  #statement(bytes: Buffer, at: number, final: boolean): number {
    const lexer = this.#lexer;
    const end = lexer.scan(bytes, at, final);
    for (const colon of lexer.colons) this.#colons.push(this.#heldBytes + colon - at);
    lexer.colons = [];
    const segment = bytes.subarray(at, end);
    if (lexer.stop === 'end') this.#complete(segment);
    else if (lexer.stop === 'more') this.#hold(segment);
    else throw this.#refusal(segment, bytes, end);
    return end;
  }

  #complete(segment: Buffer): void {
    const bytes = this.#held.length > 0 ? Buffer.concat([...this.#held, segment]) : segment;
    const located = { bytes, groups: this.#lexer.groups, colons: this.#colons, ...this.#place() };
    this.#mode = 'gap';
    if (this.#parts > 0) {
      this.#event = { kind: 'part', ...located, first: false, last: true };
    } else {
      this.#event = { kind: 'statement', ...located };
      this.#noticeCopy(bytes);
      this.#noticeSetting(bytes);
    }
    this.#parts = 0;
    this.#release(bytes);
  }

  #hold(segment: Buffer): void {
    if (segment.length === 0) return;
    this.#held.push(Buffer.from(segment));
    this.#heldBytes += segment.length;
    if (this.#heldBytes <= this.#longestStatement) return;
    const bytes = Buffer.concat(this.#held);
    if (this.#parts === 0 && !/^insert[\s/"-]/i.test(bytes.toString('latin1', 0, 7))) {
      throw refuse.statementTooLong(this.#longestStatement, this.#place());
    }
    const first = this.#parts++ === 0;
    const { groups } = this.#lexer;
    const located = { bytes, groups, colons: this.#colons, ...this.#place() };
    this.#event = { kind: 'part', ...located, first, last: false };
    this.#release(bytes);
  }

  #release(bytes: Buffer): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#colons = [];
    this.#advance(bytes.length, countNewlines(bytes));
  }

  #noticeCopy(bytes: Buffer): void {
    if (((bytes[0] as number) | 0x20) !== 0x63) return;
    if (!/^copy[\s/"-]/i.test(bytes.toString('latin1', 0, 5))) return;
    const header = parseCopyHeader(bytes, this.encoding.decodeLoosely);
    if (!header) return;
    if (header.binary) throw refuse.unsupportedSyntax('binary data in a script', this.#place());
    this.#event = { kind: 'copy', bytes, header, ...this.#place() };
    this.#copy = header;
    this.#mode = 'copy-line';
  }

  #noticeSetting(bytes: Buffer): void {
    const first = (bytes[0] as number) | 0x20;
    if ((first !== 0x73 && first !== 0x72) || bytes.length > LONGEST_SETTING) return;
    if (!/^(?:re)?set[\s/"-]/i.test(bytes.toString('latin1', 0, 6))) return;
    const setting = readSetting(new StatementReader(bytes, this.encoding.decodeLoosely));
    const value = setting?.values[0]?.toLowerCase();
    if (setting?.name === 'client_encoding' || setting?.name === 'names') {
      this.encoding = new ScriptEncoding(value ?? 'UTF8');
    } else if (setting?.name === 'standard_conforming_strings' || setting?.name === 'all') {
      const strings = !['off', 'false', 'no', '0', 'of', 'f', 'n'].includes(value ?? 'on');
      if (strings !== this.#lexer.standardStrings) this.#nextStrings = strings;
    }
  }

  /** The rest of the line of `COPY … FROM stdin;`: psql would keep it for after the data. */
  #copyLine(bytes: Buffer, at: number): number {
    let end = at;
    while (end < bytes.length && bytes[end] !== 0x0a && WHITESPACE[bytes[end] as number]) end++;
    if (end >= bytes.length) return at;
    if (bytes[end] !== 0x0a) {
      throw refuse.unsupportedSyntax('something follows COPY … FROM stdin', this.#place());
    }
    this.#event = { kind: 'blank', bytes: bytes.subarray(at, end + 1), ...this.#place() };
    this.#advance(end + 1 - at, 1);
    this.#copyData.reset();
    this.#mode = 'copy';
    return end + 1;
  }

  #copyBlock(bytes: Buffer, at: number): number {
    const marker = this.#copyData.marker(bytes, at);
    if (marker < 0) return at;
    const end = marker > 0 ? at + marker : this.#copyData.data(bytes, at);
    if (end === at) return at;
    const piece = bytes.subarray(at, end);
    const lines = marker > 0 ? 1 : countNewlines(piece);
    const located = { bytes: piece, ...this.#place() };
    if (marker > 0) {
      this.#event = { kind: 'copy-end', ...located };
      this.#mode = 'gap';
      this.#copy = undefined;
    } else {
      this.#event = { kind: 'copy-data', lines, ...located };
    }
    this.#advance(piece.length, lines);
    return end;
  }

  #advance(bytes: number, lines: number): void {
    this.#offset += bytes;
    this.#line += lines;
  }

  #place(): refuse.Place {
    return { offset: this.#offset, line: this.#line };
  }

  #refuseBehindStringsSetting(): void {
    if (this.#nextStrings === undefined) return;
    const what = 'something follows SET standard_conforming_strings on its line';
    throw refuse.unsupportedSyntax(what, this.#place());
  }

  #refusal(segment: Buffer, bytes: Buffer, at: number): Error {
    const before = countNewlines(segment) + this.#held.reduce((n, b) => n + countNewlines(b), 0);
    const offset = this.#offset + this.#heldBytes + segment.length;
    const place = { line: this.#line + before, offset };
    switch (this.#lexer.stop) {
      case 'backslash':
        return refuse.metaCommand(
          bytes.toString('utf8', at, at + 80).split('\n', 1)[0] ?? '',
          place,
        );
      case 'continued-string':
        return refuse.unsupportedSyntax("an E'' string is continued on another line", place);
      case 'bare-begin':
        return refuse.unsupportedSyntax('BEGIN without ATOMIC in a routine’s definition', place);
      default:
        return refuse.unsupportedSyntax('a word of more than a megabyte', place);
    }
  }

  #whereItEnds(): string {
    if (this.#copy) return `within the data of ${tableName(this.#copy)}`;
    if (this.#mode !== 'statement') return `within a comment or command on line ${this.#line}`;
    const inside = this.#lexer.place === 'statement' ? '' : `within a ${this.#lexer.place} `;
    return `${inside}in the statement that begins on line ${this.#line}`;
  }
}

function tableName(header: CopyHeader): string {
  const name = header.schema === undefined ? header.table : `${header.schema}.${header.table}`;
  return `table ${refuse.printable(name)}`;
}
