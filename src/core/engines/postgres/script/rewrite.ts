import { randomBytes } from 'node:crypto';
import type { Writable } from 'node:stream';
import { throwIfAborted } from '../../../runtime/errors.ts';
import { countNewlines } from './bytes.ts';
import {
  type Disposition,
  type DispositionOptions,
  Dispositions,
  type LeftOutReason,
} from './disposition.ts';
import type { PartEvent, ScriptEvent, StatementEvent } from './events.ts';
import { isInsert } from './insert-rows.ts';
import { OutputQueue } from './output-queue.ts';
import type { OwnershipStatement } from './ownership.ts';
import { printable, tooManyObjects } from './refusals.ts';
import { ScriptSplitter, type SplitterOptions } from './splitter.ts';

/** Lines that the rewritten script has before the first line of the original. */
export const LINES_BEFORE = 2;

const MOST_STATEMENTS = 500_000;

export interface RewriteOptions extends DispositionOptions, SplitterOptions {
  readonly signal: AbortSignal;
  /** Told the bytes read so far, once a chunk. */
  readonly onProgress?: (bytes: number) => void;
}

export interface RewriteResult {
  /** Owners and grants in the script's order, for control to apply after the load. */
  readonly ownership: readonly OwnershipStatement[];
  /** Owners and grants that are none of pg_dump's: not executed, to be reported. */
  readonly unparsed: readonly { readonly line: number; readonly text: string }[];
  /** What was left out, counted by reason. */
  readonly leftOut: Readonly<Partial<Record<LeftOutReason, number>>>;
  readonly statements: number;
  readonly copyBlocks: number;
  readonly copyRows: number;
  readonly bytesRead: number;
}

/**
 * Reads a plain pg_dump script and writes what the load role is to run, for psql's standard input
 * (`psql -X -v ON_ERROR_STOP=1 -f -`), then ends `output`. Honours back-pressure; memory is flat.
 *
 * The script comes out in psql's restricted mode throughout, under a key of our own; without its
 * own meta-commands, owners, grants, role changes, database statements, extensions, and what
 * `options` names; colons that psql would take for variables are set apart. Line numbers are kept:
 * line n of the script is line n + LINES_BEFORE of the output.
 *
 * On failure `output` is destroyed and the error is one of the splitter's, `drop/meta-command`,
 * `drop/transaction-control`, `drop/too-many-objects`, or the stream's own.
 */
export async function rewriteScript(
  input: AsyncIterable<Buffer> | Iterable<Buffer>,
  output: Writable,
  options: RewriteOptions,
): Promise<RewriteResult> {
  const rewriter = new ScriptRewriter(options);
  const key = randomBytes(32).toString('hex');
  const queue = new OutputQueue(output, options.signal);
  try {
    queue.add(Buffer.from(`\\restrict ${key}\nSET standard_conforming_strings = on;\n`));
    for await (const chunk of input) {
      throwIfAborted(options.signal);
      rewriter.push(chunk, queue);
      await queue.flush();
      options.onProgress?.(rewriter.bytesRead);
    }
    rewriter.end(queue);
    queue.add(Buffer.from(`\n\\unrestrict ${key}\n`));
    await queue.end();
    return rewriter.result();
  } catch (error) {
    output.destroy();
    throw error;
  }
}

class ScriptRewriter {
  bytesRead = 0;
  readonly #splitter: ScriptSplitter;
  readonly #dispositions: Dispositions;
  readonly #ownership: OwnershipStatement[] = [];
  readonly #unparsed: { line: number; text: string }[] = [];
  readonly #leftOut: Partial<Record<LeftOutReason, number>> = {};
  #held: Buffer | undefined;
  #statements = 0;
  #copyBlocks = 0;
  #copyRows = 0;

  constructor(options: RewriteOptions) {
    this.#splitter = new ScriptSplitter(options);
    this.#dispositions = new Dispositions(options);
  }

  push(chunk: Buffer, queue: OutputQueue): void {
    this.bytesRead += chunk.length;
    for (const event of this.#splitter.push(chunk)) this.#take(event, queue);
  }

  end(queue: OutputQueue): void {
    for (const event of this.#splitter.end()) this.#take(event, queue);
  }

  result(): RewriteResult {
    return {
      ownership: this.#ownership,
      unparsed: this.#unparsed,
      leftOut: this.#leftOut,
      statements: this.#statements,
      copyBlocks: this.#copyBlocks,
      copyRows: this.#copyRows,
      bytesRead: this.bytesRead,
    };
  }

  #take(event: ScriptEvent, queue: OutputQueue): void {
    switch (event.kind) {
      case 'blank':
        // A byte order mark is the one blank that isn't white space.
        if (event.bytes[0] !== 0xef) queue.add(event.bytes);
        return;
      case 'comment':
        this.#dispositions.comment(event.bytes);
        queue.addLines(countNewlines(event.bytes));
        return;
      case 'meta':
        this.#dispositions.meta.accept(event.bytes, event);
        return;
      case 'copy':
        this.#dispositions.data();
        this.#copyBlocks++;
        queue.add(event.bytes);
        return;
      case 'copy-data':
        if (event.lines > 0) this.#copyRows += event.lines;
        queue.add(event.bytes);
        return;
      case 'copy-end':
        queue.add(event.bytes);
        return;
      case 'part':
        this.#dispositions.data();
        if (event.last) this.#statements++;
        addWithColonsApart(event, queue);
        return;
      case 'statement':
        this.#statement(event, queue);
    }
  }

  #statement(event: StatementEvent, queue: OutputQueue): void {
    if (isInsert(event.bytes)) {
      this.#dispositions.data();
      this.#statements++;
      addWithColonsApart(event, queue);
      return;
    }
    const { encoding, standardStrings } = this.#splitter;
    const { disposition } = this.#dispositions.statement(event, encoding, standardStrings);
    if (disposition.action === 'hold') {
      this.#held = Buffer.from(event.bytes);
      queue.addLines(countNewlines(event.bytes));
    } else if (disposition.action === 'keep') {
      if (this.#held) queue.add(Buffer.from(this.#held.toString('latin1').trim()));
      this.#held = undefined;
      this.#statements++;
      addWithColonsApart(event, queue);
    } else {
      this.#leaveOut(event, disposition);
      if (disposition.action === 'replace') queue.add(Buffer.from(disposition.sql));
      queue.addLines(countNewlines(event.bytes));
    }
  }

  #leaveOut(
    event: StatementEvent,
    disposition: Extract<Disposition, { action: 'leave-out' | 'replace' }>,
  ): void {
    const reason = disposition.action === 'replace' ? 'owner' : disposition.reason;
    this.#leftOut[reason] = (this.#leftOut[reason] ?? 0) + 1;
    if (disposition.ownership) this.#ownership.push(disposition.ownership);
    else if (reason === 'owner' || reason === 'grant') {
      this.#unparsed.push({ line: event.line, text: printable(event.bytes.toString('utf8'), 200) });
    }
    if (this.#ownership.length + this.#unparsed.length > MOST_STATEMENTS) {
      throw tooManyObjects(MOST_STATEMENTS);
    }
  }
}

/** `: name` means the same to the server, and to psql it is no variable. */
function addWithColonsApart(event: StatementEvent | PartEvent, queue: OutputQueue): void {
  let from = 0;
  for (const colon of event.colons) {
    queue.add(event.bytes.subarray(from, colon + 1));
    queue.add(SPACE);
    from = colon + 1;
  }
  queue.add(event.bytes.subarray(from));
}

const SPACE = Buffer.from(' ');
