/**
 * Cuts a stream of SQL into statements, as SQLite's own sqlite3_complete() sees them: a semicolon
 * ends a statement unless it is quoted, in a comment, or within the body of CREATE TRIGGER, which
 * ends with `; END;`. It decides only where to cut; what a statement may do is decided elsewhere.
 */
export class StatementSplitter {
  #pieces: Buffer[] = [];
  /** Byte that ends what we are in: a quote, `]`, newline or `*` of a block comment; 0 outside. */
  #closing = 0;
  #previous = 0;
  #word = '';
  #words = 0;
  #isCreate = false;
  #trigger: 'none' | 'body' | 'after-semicolon' | 'after-end' = 'none';
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  /** The statements that are complete now, with their semicolons. */
  push(chunk: Buffer): string[] {
    const statements: string[] = [];
    let start = 0;
    for (let index = 0; index < chunk.length; index++) {
      if (!this.#step(chunk[index] as number)) continue;
      this.#pieces.push(chunk.subarray(start, index + 1));
      statements.push(this.#take());
      start = index + 1;
    }
    if (start < chunk.length) this.#pieces.push(Buffer.from(chunk.subarray(start)));
    return statements;
  }

  /** What is left without an ending semicolon. */
  end(): string {
    return this.#take();
  }

  #take(): string {
    const text = this.#decoder.decode(Buffer.concat(this.#pieces));
    this.#pieces = [];
    return text;
  }

  /** True when this byte ends a statement. */
  #step(byte: number): boolean {
    const previous = this.#previous;
    this.#previous = byte;
    if (this.#closing !== 0) {
      this.#stepInside(byte, previous);
      return false;
    }
    if (isWordByte(byte)) {
      if (this.#word.length < 16) this.#word += String.fromCharCode(byte);
      return false;
    }
    this.#endWord();
    if (byte === SEMICOLON) return this.#semicolon();
    if (byte === DASH && previous === DASH) this.#open(NEWLINE);
    else if (byte === STAR && previous === SLASH) this.#open(STAR);
    else if (byte === QUOTE || byte === DOUBLE_QUOTE || byte === BACKTICK) this.#openToken(byte);
    else if (byte === BRACKET) this.#openToken(CLOSING_BRACKET);
    else if (byte > SPACE && byte !== DASH && byte !== SLASH) this.#token('');
    return false;
  }

  #stepInside(byte: number, previous: number): void {
    const ends =
      this.#closing === STAR ? byte === SLASH && previous === STAR : byte === this.#closing;
    if (!ends) return;
    this.#closing = 0;
    this.#previous = 0;
  }

  #openToken(closing: number): void {
    this.#token('');
    this.#open(closing);
  }

  #open(closing: number): void {
    this.#closing = closing;
    // The star that opens a comment must not close it: `/*/`.
    this.#previous = 0;
  }

  #endWord(): void {
    if (this.#word === '') return;
    const word = this.#word.toLowerCase();
    this.#word = '';
    this.#token(word);
  }

  #token(word: string): void {
    this.#words++;
    if (this.#trigger !== 'none') {
      const ends = this.#trigger === 'after-semicolon' && word === 'end';
      this.#trigger = ends ? 'after-end' : 'body';
      return;
    }
    if (this.#words === 1) this.#isCreate = word === 'create';
    else if (this.#isCreate && word === 'trigger') this.#trigger = 'body';
    else if (!(this.#words === 2 && (word === 'temp' || word === 'temporary'))) {
      this.#isCreate = false;
    }
  }

  #semicolon(): boolean {
    if (this.#trigger === 'body' || this.#trigger === 'after-semicolon') {
      this.#trigger = 'after-semicolon';
      return false;
    }
    this.#words = 0;
    this.#isCreate = false;
    this.#trigger = 'none';
    return true;
  }
}

const [NEWLINE, SPACE, DOUBLE_QUOTE, QUOTE, STAR, DASH, SLASH] = bytes('\n "\'*-/');
const [SEMICOLON, BRACKET, CLOSING_BRACKET, BACKTICK] = bytes(';[]`');

function bytes(text: string): number[] & Record<0 | 1 | 2 | 3 | 4 | 5 | 6, number> {
  return [...Buffer.from(text)] as never;
}

function isWordByte(byte: number): boolean {
  return (
    (byte >= 97 && byte <= 122) ||
    (byte >= 65 && byte <= 90) ||
    (byte >= 48 && byte <= 57) ||
    byte === 95 ||
    byte === 36 ||
    byte >= 128
  );
}

/** A statement without comments and blanks around it, for comparing with a keyword or two. */
export function bare(statement: string): string {
  return statement
    .replace(/--[^\n]*|\/\*.*?\*\//gs, ' ')
    .replace(/\s+/g, ' ')
    .replace(/ ?; ?$/, '')
    .trim();
}
