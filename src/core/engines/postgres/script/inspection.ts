import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { DropbackError, throwIfAborted } from '../../../runtime/errors.ts';
import { type DispositionOptions, Dispositions } from './disposition.ts';
import type { PartEvent, ScriptEvent, StatementEvent } from './events.ts';
import { refuseForeignScript } from './foreign-script.ts';
import { InsertRows, type InsertTarget, isInsert, rowsOf } from './insert-rows.ts';
import { printable, truncated } from './refusals.ts';
import { ScriptSplitter, type SplitterOptions } from './splitter.ts';
import type { ScriptSummary } from './summary.ts';
import { SummaryBuilder } from './summary-builder.ts';
import { utf8Cut } from './utf8-cut.ts';

export interface InspectionOptions extends DispositionOptions, SplitterOptions {
  readonly signal: AbortSignal;
  /** Told the bytes read so far, once a chunk. */
  readonly onProgress?: (bytes: number) => void;
}

/** Small: what the collector leaves lying for a while is what the daemon grows by. */
const CHUNK_BYTES = 64 * 1024;
const MOST_WARNINGS = 50;

/** A script's chunks, each in memory of its own: the splitter keeps parts of them. */
export function readScript(path: string): AsyncIterable<Buffer> {
  return createReadStream(path, { highWaterMark: CHUNK_BYTES });
}

/**
 * Reads a decompressed plain script whole, changes nothing, and says what is in it. Memory is flat.
 *
 * Throws what a load of it would be refused for:
 * - `drop/truncated`: no completion trailer, or it ends within a statement or COPY data
 * - `drop/empty`, `drop/wrong-engine`, `drop/wrong-format`, `drop/unsupported-dumpall`,
 *   `drop/not-a-dump`: not pg_dump's script of one database
 * - `drop/unsupported-encoding`, `drop/invalid-encoding`, `drop/not-text`
 * - `drop/meta-command`, `drop/transaction-control`, `drop/unsupported-syntax`
 * - `drop/statement-too-long`, `drop/too-many-objects`
 */
export async function inspectScript(
  path: string,
  options: InspectionOptions,
): Promise<ScriptSummary> {
  const inspector = new ScriptInspector(options);
  for await (const chunk of readScript(path)) {
    throwIfAborted(options.signal);
    inspector.push(chunk);
    options.onProgress?.(inspector.bytes);
  }
  throwIfAborted(options.signal);
  return inspector.end();
}

/** The same over chunks that someone else reads. */
export class ScriptInspector {
  bytes = 0;
  readonly #splitter: ScriptSplitter;
  readonly #dispositions: Dispositions;
  readonly #summary: SummaryBuilder;
  readonly #inserts = new InsertRows();
  #line = 1;
  #cut: Buffer = Buffer.alloc(0);
  #copy: { schema: string | undefined; name: string } | undefined;
  #copyCounts = false;
  #insert: InsertTarget | undefined;
  /** Whether a pg_dump header was read, and whether its trailer was. */
  #dump: 'none' | 'open' | 'complete' = 'none';

  constructor(options: DispositionOptions & SplitterOptions) {
    this.#splitter = new ScriptSplitter(options);
    this.#dispositions = new Dispositions(options);
    this.#summary = new SummaryBuilder(this.#dispositions.context);
  }

  push(chunk: Buffer): void {
    if (this.bytes === 0) refuseForeignScript(chunk.subarray(0, 64 * 1024));
    const before = this.bytes;
    this.bytes += chunk.length;
    for (const event of this.#splitter.push(chunk)) this.#take(event);
    this.#requireUtf8(chunk, before);
  }

  end(): ScriptSummary {
    if (this.bytes === 0) refuseForeignScript(Buffer.alloc(0));
    for (const event of this.#splitter.end()) this.#take(event);
    const place = { line: this.#line, offset: this.bytes };
    if (this.#dump === 'none') throw notADump();
    if (this.#dump === 'open') throw truncated('without the line that completes it', place);
    if (this.#cut.length > 0) throw invalidEncoding(place.offset - this.#cut.length);
    const { encoding } = this.#splitter;
    return this.#summary.summary({
      bytes: this.bytes,
      lines: this.#line - 1,
      encoding: encoding.name,
    });
  }

  #take(event: ScriptEvent): void {
    switch (event.kind) {
      case 'comment':
        this.#dispositions.comment(event.bytes);
        this.#comment(event.bytes);
        break;
      case 'meta':
        this.#dispositions.meta.accept(event.bytes, event);
        break;
      case 'copy':
        this.#dispositions.data();
        this.#summary.copyBlock(event.header);
        this.#copy = { schema: event.header.schema, name: event.header.table };
        this.#copyCounts = event.header.lineIsRow;
        this.#warnIfBehindTrailer(event.line);
        break;
      case 'copy-data':
        if (this.#copy && this.#copyCounts) this.#summary.rows(this.#copy, event.lines);
        break;
      case 'part':
        this.#dispositions.data();
        this.#part(event);
        break;
      case 'statement':
        this.#statement(event);
    }
    this.#line = event.line;
  }

  #statement(event: StatementEvent): void {
    this.#warnIfBehindTrailer(event.line);
    const { encoding, standardStrings } = this.#splitter;
    if (isInsert(event.bytes)) {
      this.#dispositions.data();
      const target = this.#inserts.target(event.bytes, encoding.decodeLoosely);
      if (target) this.#addRows(target, event.groups);
      return;
    }
    this.#summary.statement(this.#dispositions.statement(event, encoding, standardStrings));
  }

  #part(event: PartEvent): void {
    const { decodeLoosely } = this.#splitter.encoding;
    if (event.first) this.#insert = this.#inserts.target(event.bytes, decodeLoosely);
    if (event.last && this.#insert) this.#addRows(this.#insert, event.groups);
  }

  #addRows(target: InsertTarget, groups: number): void {
    this.#summary.rows(target.name, target.countable ? rowsOf(target, groups) : undefined);
  }

  #comment(bytes: Buffer): void {
    const text = bytes.toString('latin1').trimEnd();
    if (text === '-- PostgreSQL database dump') this.#dump = 'open';
    else if (text === '-- PostgreSQL database dump complete') this.#dump = 'complete';
    else if (text === '-- PostgreSQL database cluster dump') refuseForeignScript(bytes);
    const version = /^-- Dumped (from database|by pg_dump) version ([0-9][^\s]*)/.exec(text);
    if (version?.[1] === 'from database') this.#summary.databaseVersion ??= version[2];
    else if (version) this.#summary.dumpVersion ??= version[2];
    if (/^-- Data for Name: .*; Type: (TABLE DATA|BLOBS?)[;,]/s.test(text)) {
      this.#summary.hasData = true;
    }
  }

  #warnIfBehindTrailer(line: number): void {
    const { warnings } = this.#summary;
    if (this.#dump !== 'complete' || warnings.length >= MOST_WARNINGS) return;
    const text = `line ${line}: something follows the end of the dump`;
    warnings.push(printable(text, 200));
  }

  /** A server refuses such text in the middle of a load; here it costs nothing. */
  #requireUtf8(chunk: Buffer, before: number): void {
    if (!this.#splitter.encoding.isUtf8) {
      this.#cut = Buffer.alloc(0);
      return;
    }
    const text = this.#cut.length > 0 ? Buffer.concat([this.#cut, chunk]) : chunk;
    const cut = utf8Cut(text);
    if (!isUtf8(text.subarray(0, cut))) throw invalidEncoding(before - this.#cut.length);
    this.#cut = Buffer.from(text.subarray(cut));
  }
}

function notADump(): DropbackError {
  return new DropbackError('drop/not-a-dump', 'the script was not made by pg_dump', {
    hint: 'its header comment is missing, so nobody can tell whether it is complete: use pg_dump.',
  });
}

function invalidEncoding(offset: number): DropbackError {
  return new DropbackError(
    'drop/invalid-encoding',
    `the script says that it is UTF-8, and is not, somewhere behind offset ${offset}`,
    {
      hint: 'the file is damaged, or was converted: transfer it in binary mode, or dump again.',
      facts: { offset },
    },
  );
}
