import { IDENTIFIER_PART, IDENTIFIER_START, isDigit, NAME_PART } from './bytes.ts';
import { RoutineBody } from './routine-body.ts';

/**
 * Why `scan` came back:
 * - `more`: the bytes ended; call again with what was not consumed in front of the next ones
 * - `end`: just behind the semicolon that ends the statement
 * - the others are findings that a script must not have, at the position returned
 */
export type LexerStop = 'more' | 'end' | 'backslash' | 'continued-string' | 'bare-begin' | 'token';

/** Where in a statement the lexer is; names are for messages. */
export type LexerPlace =
  | 'statement'
  | 'quoted string'
  | 'quoted identifier'
  | 'dollar-quoted string'
  | 'comment';

const NORMAL = 0;
const PLAIN_STRING = 1;
const ESCAPE_STRING = 2;
const BIT_STRING = 3;
const QUOTED_IDENTIFIER = 4;
const DOLLAR_STRING = 5;
const BLOCK_COMMENT = 6;
const LINE_COMMENT = 7;
/** Behind an E'' string: another quote after white space would continue it, but not for psql. */
const AFTER_ESCAPE_STRING = 8;

const PLACES: readonly LexerPlace[] = [
  'statement',
  'quoted string',
  'quoted string',
  'quoted string',
  'quoted identifier',
  'dollar-quoted string',
  'comment',
  'comment',
  'statement',
];

/** Words, numbers and dollar tags longer than this are no SQL; they would have to be buffered. */
const LONGEST_TOKEN = 1024 * 1024;

/** Bytes that mean something outside quotes; all others are passed over by one lookup each. */
const SPECIAL = (() => {
  const special = Uint8Array.from(IDENTIFIER_START);
  for (const char of `'"$-/;()\\:0123456789`) special[char.charCodeAt(0)] = 1;
  return special;
})();

/**
 * Finds the end of one SQL statement the way psql does (fe_utils/psqlscan.l): a semicolon outside
 * quotes, comments, parentheses and BEGIN ATOMIC bodies. Works on any division into chunks; what
 * it keeps between calls is a state, never bytes.
 */
export class StatementLexer {
  /** What psql takes plain '' strings for; changed by the script's own SET. */
  standardStrings = true;
  stop: LexerStop = 'more';
  /** Parenthesised groups at the outermost level so far: an INSERT's rows. */
  groups = 0;
  /** Positions (within the call's buffer) of colons that psql would take for its variables. */
  colons: number[] = [];
  #state = NORMAL;
  #depth = 0;
  #commentDepth = 0;
  #commentReturn = NORMAL;
  #tag: Buffer = Buffer.alloc(0);
  readonly #body = new RoutineBody();

  get place(): LexerPlace {
    return PLACES[this.#state] ?? 'statement';
  }

  get parentheses(): number {
    return this.#depth;
  }

  /** Forgets the statement; the strings setting stays. */
  reset(): void {
    this.stop = 'more';
    this.groups = 0;
    this.colons = [];
    this.#state = NORMAL;
    this.#depth = 0;
    this.#body.reset();
  }

  /**
   * Goes on from `from`; returns the position up to which the bytes are consumed, and sets `stop`.
   * `final`: no bytes follow, so that nothing waits for a look ahead.
   */
  scan(bytes: Buffer, from: number, final: boolean): number {
    let at = from;
    this.stop = 'more';
    while (at < bytes.length) {
      const before = at;
      const state = this.#state;
      if (state === NORMAL) at = this.#normal(bytes, at, final);
      else if (state === PLAIN_STRING) at = this.#plainString(bytes, at, final);
      else if (state === ESCAPE_STRING) at = this.#escapeString(bytes, at, final);
      else if (state === DOLLAR_STRING) at = this.#dollarString(bytes, at, final);
      else if (state === LINE_COMMENT) at = this.#lineComment(bytes, at);
      else if (state === BLOCK_COMMENT) at = this.#blockComment(bytes, at, final);
      else if (state === AFTER_ESCAPE_STRING) at = this.#afterEscapeString(bytes, at, final);
      else at = this.#until(bytes, at, state === BIT_STRING ? 0x27 : 0x22);
      if (this.stop !== 'more') return at;
      if (at === before && this.#state === state) {
        if (bytes.length - at > LONGEST_TOKEN) this.stop = 'token';
        return at;
      }
    }
    return at;
  }

  #normal(bytes: Buffer, from: number, final: boolean): number {
    const end = bytes.length;
    let at = from;
    while (at < end) {
      const byte = bytes[at] as number;
      if (SPECIAL[byte] === 0) {
        at++;
        continue;
      }
      if (IDENTIFIER_START[byte] === 1) {
        const next = this.#word(bytes, at, final);
        if (next < 0) return ~next;
        at = next;
        if (this.#state !== NORMAL || this.stop !== 'more') return at;
        continue;
      }
      switch (byte) {
        case 0x27: // '
          this.#state = this.standardStrings ? PLAIN_STRING : ESCAPE_STRING;
          return at + 1;
        case 0x22: // "
          this.#state = QUOTED_IDENTIFIER;
          return at + 1;
        case 0x28: // (
          if (this.#depth++ === 0) this.groups++;
          at++;
          break;
        case 0x29: // )
          if (this.#depth > 0) this.#depth--;
          at++;
          break;
        case 0x3b: // ;
          at++;
          if (this.#depth === 0 && this.#body.depth === 0) {
            this.stop = 'end';
            return at;
          }
          break;
        case 0x5c: // \
          this.stop = 'backslash';
          return at;
        default: {
          const next = this.#lookAhead(bytes, at, byte, final);
          if (next === at || this.#state !== NORMAL) return next;
          at = next;
        }
      }
    }
    return at;
  }

  /** `-- /* $tag$ $1 : 12`: what these begin depends on what follows. Returns `at` to wait. */
  #lookAhead(bytes: Buffer, at: number, byte: number, final: boolean): number {
    if (byte >= 0x30 && byte <= 0x39) return this.#number(bytes, at, final);
    if (at + 1 >= bytes.length) return final ? at + 1 : at;
    const next = bytes[at + 1] as number;
    switch (byte) {
      case 0x2d: // -
        if (next !== 0x2d) return at + 1;
        this.#state = LINE_COMMENT;
        this.#commentReturn = NORMAL;
        return at + 2;
      case 0x2f: // /
        if (next !== 0x2a) return at + 1;
        this.#state = BLOCK_COMMENT;
        this.#commentDepth = 0;
        return at + 2;
      case 0x3a: // :
        if (next === 0x3a || next === 0x3d) return at + 2;
        if (NAME_PART[next] === 1 || next === 0x27 || next === 0x22 || next === 0x7b) {
          this.colons.push(at);
        }
        return at + 1;
      default: // $
        return this.#dollar(bytes, at, final);
    }
  }

  #dollar(bytes: Buffer, at: number, final: boolean): number {
    let end = at + 1;
    if (isDigit(bytes[end])) return at + 1;
    while (end < bytes.length && NAME_PART[bytes[end] as number] === 1) end++;
    if (end >= bytes.length) return final ? at + 1 : at;
    if (bytes[end] !== 0x24) return at + 1;
    this.#tag = Buffer.from(bytes.subarray(at, end + 1));
    this.#state = DOLLAR_STRING;
    return end + 1;
  }

  /** One letter directly behind the digits belongs to them: `1e'x'` holds no E'' string. */
  #number(bytes: Buffer, at: number, final: boolean): number {
    let end = at + 1;
    while (end < bytes.length && isDigit(bytes[end])) end++;
    if (end >= bytes.length) return final ? end : at;
    return IDENTIFIER_START[bytes[end] as number] === 1 ? end + 1 : end;
  }

  /** Returns the complement of `at` when it must wait for more. */
  #word(bytes: Buffer, at: number, final: boolean): number {
    let end = at + 1;
    while (end < bytes.length && IDENTIFIER_PART[bytes[end] as number] === 1) end++;
    if (end >= bytes.length && !final) return ~at;
    if (end - at === 1) {
      const opened = this.#prefix(bytes, at, final);
      if (opened !== 0) return opened;
    }
    if (this.#depth === 0 || this.#body.counting) {
      if (!this.#body.word(bytes, at, end, this.#depth)) this.stop = 'bare-begin';
    } else {
      this.#body.pass();
    }
    return end;
  }

  /** E'…', B'…', X'…', U&'…', U&"…". Zero when the letter is no prefix. */
  #prefix(bytes: Buffer, at: number, final: boolean): number {
    const letter = (bytes[at] as number) | 0x20;
    const next = bytes[at + 1];
    if (next === 0x27) {
      if (letter === 0x65) this.#state = ESCAPE_STRING;
      else if (letter === 0x62 || letter === 0x78) this.#state = BIT_STRING;
      else return 0;
      return at + 2;
    }
    if (letter !== 0x75 || next !== 0x26) return 0;
    const quote = bytes[at + 2];
    if (quote === undefined && !final) return ~at;
    if (quote !== 0x27 && quote !== 0x22) return 0;
    this.#state = quote === 0x27 ? PLAIN_STRING : QUOTED_IDENTIFIER;
    return at + 3;
  }

  #plainString(bytes: Buffer, from: number, final: boolean): number {
    let at = from;
    for (;;) {
      at = find(bytes, at, 0x27);
      if (at >= bytes.length) return at;
      if (at + 1 >= bytes.length && !final) return at;
      if (bytes[at + 1] !== 0x27) break;
      at += 2;
    }
    this.#state = NORMAL;
    return at + 1;
  }

  #escapeString(bytes: Buffer, from: number, final: boolean): number {
    let at = from;
    while (at < bytes.length) {
      const byte = bytes[at];
      if (byte !== 0x27 && byte !== 0x5c) {
        at++;
        continue;
      }
      if (at + 1 >= bytes.length && !final) return at;
      if (byte === 0x27 && bytes[at + 1] !== 0x27) {
        this.#state = this.standardStrings ? AFTER_ESCAPE_STRING : NORMAL;
        return at + 1;
      }
      at += 2;
    }
    return Math.min(at, bytes.length);
  }

  #afterEscapeString(bytes: Buffer, from: number, final: boolean): number {
    let at = from;
    while (at < bytes.length && (bytes[at] as number) <= 0x20) at++;
    if (at >= bytes.length) return at;
    if (bytes[at] === 0x2d) {
      if (at + 1 >= bytes.length && !final) return at;
      if (bytes[at + 1] === 0x2d) {
        this.#state = LINE_COMMENT;
        this.#commentReturn = AFTER_ESCAPE_STRING;
        return at + 2;
      }
    }
    if (bytes[at] === 0x27) this.stop = 'continued-string';
    else this.#state = NORMAL;
    return at;
  }

  #dollarString(bytes: Buffer, from: number, final: boolean): number {
    const at = bytes.indexOf(this.#tag, from);
    if (at < 0) return final ? bytes.length : Math.max(from, bytes.length - this.#tag.length + 1);
    this.#state = NORMAL;
    return at + this.#tag.length;
  }

  #lineComment(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && bytes[at] !== 0x0a && bytes[at] !== 0x0d) at++;
    if (at < bytes.length) this.#state = this.#commentReturn;
    return at;
  }

  #blockComment(bytes: Buffer, from: number, final: boolean): number {
    let at = from;
    while (at < bytes.length) {
      const byte = bytes[at];
      if (byte !== 0x2a && byte !== 0x2f) {
        at++;
        continue;
      }
      if (at + 1 >= bytes.length && !final) return at;
      const next = bytes[at + 1];
      if (byte === 0x2f && next === 0x2a) {
        this.#commentDepth++;
        at += 2;
      } else if (byte === 0x2a && next === 0x2f) {
        at += 2;
        if (this.#commentDepth-- === 0) {
          this.#state = NORMAL;
          return at;
        }
      } else {
        at++;
      }
    }
    return at;
  }

  #until(bytes: Buffer, from: number, quote: number): number {
    const at = find(bytes, from, quote);
    if (at >= bytes.length) return at;
    this.#state = NORMAL;
    return at + 1;
  }
}

/** Short runs by a loop, long ones by the native search; `bytes.length` when there is none. */
function find(bytes: Buffer, from: number, wanted: number): number {
  const near = Math.min(bytes.length, from + 48);
  let at = from;
  while (at < near && bytes[at] !== wanted) at++;
  if (at < near || at >= bytes.length) return at;
  const far = bytes.indexOf(wanted, at);
  return far < 0 ? bytes.length : far;
}
