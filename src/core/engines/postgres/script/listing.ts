import { DropbackError } from '../../../runtime/errors.ts';

const LINE_FEED = 0x0a;
/** Names have 63 bytes; a function's goes with the types of up to a hundred arguments. */
const MOST_LINE_BYTES = 64 * 1024;
/** Two million entries. */
export const MOST_LISTING_BYTES = 128 * 1024 * 1024;

/**
 * Lines of text, kept as the bytes that they came in: a tenth of what they would take as objects, and
 * outside of the heap. Throws `drop/too-many-objects` beyond `mostBytes`, and for a line that is
 * longer than any of pg_dump's.
 */
export class Listing {
  readonly #mostBytes: number;
  readonly #chunks: Buffer[] = [];
  readonly #splitter = new LineSplitter();
  #bytes = 0;

  constructor(mostBytes = MOST_LISTING_BYTES) {
    this.#mostBytes = mostBytes;
  }

  /** Keeps the chunk. The lines that are complete with it; must be iterated to the end. */
  push(chunk: Buffer): Generator<string> {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#mostBytes) throw tooLong(this.#mostBytes);
    this.#chunks.push(chunk);
    return this.#splitter.push(chunk);
  }

  /** What follows the last line feed. */
  end(): Generator<string> {
    return this.#splitter.end();
  }

  /** All of them, again. */
  *lines(): Generator<string> {
    const splitter = new LineSplitter();
    for (const chunk of this.#chunks) yield* splitter.push(chunk);
    yield* splitter.end();
  }
}

class LineSplitter {
  #held: Buffer[] = [];
  #heldBytes = 0;

  *push(chunk: Buffer): Generator<string> {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      this.#hold(chunk.subarray(from, end));
      yield this.#release();
      from = end + 1;
    }
    this.#hold(chunk.subarray(from));
  }

  *end(): Generator<string> {
    if (this.#heldBytes > 0) yield this.#release();
  }

  #hold(part: Buffer): void {
    this.#held.push(part);
    this.#heldBytes += part.length;
    if (this.#heldBytes > MOST_LINE_BYTES) throw tooLong(MOST_LINE_BYTES);
  }

  #release(): string {
    const [first] = this.#held;
    const line = this.#held.length === 1 && first ? first : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return line.toString('utf8');
  }
}

function tooLong(mostBytes: number): DropbackError {
  return new DropbackError(
    'drop/too-many-objects',
    `the archive's table of contents has more than ${mostBytes} bytes`,
    {
      hint: 'restore a dump of this size by hand with pg_restore.',
      facts: { mostBytes },
    },
  );
}
