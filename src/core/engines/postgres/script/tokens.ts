/**
 * A token of one complete statement. Texts are Latin-1: one character a byte, so that positions
 * are byte offsets; names are decoded where they leave the grammar.
 *
 * - `word`: unquoted, in lower case (ASCII)
 * - `name`: quoted identifier, unescaped
 * - `string`: literal, unescaped as far as '' goes; `escape` marks E'', `tag` a dollar quote
 * - `symbol`: a run of operator characters, or one of `( ) [ ] , ; . : ::`
 */
export interface Token {
  readonly type: 'word' | 'name' | 'string' | 'number' | 'symbol';
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** E'', B'', X'', U&'' or U&"": what the literal says isn't what it means. */
  readonly coded?: boolean;
}

const WORD = /[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*/y;
const NUMBER = /[0-9][0-9A-Za-z_.]*/y;
const SPACE = /[ \t\n\r\f]+/y;
const LINE_COMMENT = /--[^\n\r]*/y;
const DOLLAR_TAG = /\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$/y;
const OPERATOR = /[~!@#^&|`?+\-*/%<>=]+/y;
const SINGLE = '()[],;.';

/** Reads tokens one by one; a large statement whose head is enough is never read whole. */
export class Tokenizer {
  readonly #text: string;
  readonly #standardStrings: boolean;
  #at = 0;

  constructor(text: string, standardStrings = true) {
    this.#text = text;
    this.#standardStrings = standardStrings;
  }

  next(): Token | undefined {
    this.#skipSpace();
    const start = this.#at;
    const char = this.#text[start];
    if (char === undefined) return undefined;
    if (char === "'") return this.#quoted(start, start, "'", 'string', !this.#standardStrings);
    if (char === '"') return this.#quoted(start, start, '"', 'name', false);
    const prefixed = this.#prefixed(start);
    if (prefixed) return prefixed;
    const word = this.#match(WORD);
    if (word !== undefined) return this.#token('word', lower(word), start);
    const number = this.#match(NUMBER);
    if (number !== undefined) return this.#token('number', number, start);
    const tag = this.#match(DOLLAR_TAG);
    if (tag !== undefined) return this.#dollar(start, tag);
    if (SINGLE.includes(char)) this.#at++;
    else if (char === ':') this.#at += this.#text[start + 1] === ':' ? 2 : 1;
    else this.#operator(start);
    return this.#token('symbol', this.#text.slice(start, this.#at), start);
  }

  #operator(start: number): void {
    const run = this.#match(OPERATOR);
    if (run === undefined) {
      this.#at = start + 1;
      return;
    }
    const comment = /--|\/\*/.exec(run)?.index ?? run.length;
    this.#at = start + Math.max(1, comment);
  }

  #prefixed(start: number): Token | undefined {
    const head = /(?:[eEbBxXnN]|[uU]&)'|[uU]&"/y;
    head.lastIndex = start;
    const found = head.exec(this.#text)?.[0];
    if (!found) return undefined;
    const quote = found.at(-1) as string;
    const escapes = found[0] === 'e' || found[0] === 'E';
    const type = quote === '"' ? 'name' : 'string';
    return { ...this.#quoted(start, start + found.length - 1, quote, type, escapes), coded: true };
  }

  #quoted(
    start: number,
    open: number,
    quote: string,
    type: 'string' | 'name',
    escapes: boolean,
  ): Token {
    const end = closingQuote(this.#text, open, quote, escapes);
    this.#at = end;
    const inner = this.#text.slice(open + 1, end - 1);
    const text = inner.includes(quote) ? inner.replaceAll(quote + quote, quote) : inner;
    const coded = escapes && inner.includes('\\');
    return { ...this.#token(type, text, start), ...(coded ? { coded } : {}) };
  }

  #dollar(start: number, tag: string): Token {
    const close = this.#text.indexOf(tag, this.#at);
    const end = close < 0 ? this.#text.length : close;
    const text = this.#text.slice(this.#at, end);
    this.#at = close < 0 ? end : end + tag.length;
    return this.#token('string', text, start);
  }

  #skipSpace(): void {
    for (;;) {
      const from = this.#at;
      this.#match(SPACE);
      this.#match(LINE_COMMENT);
      if (this.#text.startsWith('/*', this.#at)) this.#at = afterComment(this.#text, this.#at);
      if (this.#at === from) return;
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found) this.#at += found.length;
    return found || undefined;
  }

  #token(type: Token['type'], text: string, start: number): Token {
    return { type, text, start, end: this.#at };
  }
}

/** ASCII letters only: how PostgreSQL folds unquoted names beyond ASCII depends on the server. */
function lower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function afterComment(text: string, from: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from + 2;
  let depth = 1;
  for (let found = edge.exec(text); found; found = edge.exec(text)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return text.length;
}

/** Position behind the quote that closes the one at `open`. */
function closingQuote(text: string, open: number, quote: string, escapes: boolean): number {
  let at = open + 1;
  for (;;) {
    const close = text.indexOf(quote, at);
    if (close < 0) return text.length;
    const escaped = escapes ? firstEscape(text, at, close) : -1;
    if (escaped >= 0) at = escaped + 2;
    else if (text[close + 1] === quote) at = close + 2;
    else return close + 1;
  }
}

function firstEscape(text: string, from: number, before: number): number {
  const at = text.indexOf('\\', from);
  return at >= 0 && at < before ? at : -1;
}
