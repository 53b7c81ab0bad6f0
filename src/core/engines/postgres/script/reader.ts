import { type Token, Tokenizer } from './tokens.ts';

export interface QualifiedName {
  readonly schema: string | undefined;
  readonly name: string;
}

/** Reads one statement token by token, with any look ahead; names come out decoded. */
export class StatementReader {
  readonly #tokens: Token[] = [];
  readonly #tokenizer: Tokenizer;
  readonly #decode: (text: string) => string;
  #at = 0;

  /** `decode` turns Latin-1 text (one character a byte) into what the script's encoding means. */
  constructor(bytes: Buffer, decode: (text: string) => string, standardStrings = true) {
    this.#tokenizer = new Tokenizer(bytes.toString('latin1', 0, bytes.length), standardStrings);
    this.#decode = decode;
  }

  get position(): number {
    return this.#at;
  }

  /** Goes back to an earlier `position`. */
  rewind(position: number): void {
    this.#at = position;
  }

  peek(ahead = 0): Token | undefined {
    while (this.#tokens.length <= this.#at + ahead) {
      const token = this.#tokenizer.next();
      if (!token) return undefined;
      this.#tokens.push(token);
    }
    return this.#tokens[this.#at + ahead];
  }

  next(): Token | undefined {
    const token = this.peek();
    if (token) this.#at++;
    return token;
  }

  /** Consumes these unquoted words if they come next, all or none. */
  words(...wanted: string[]): boolean {
    for (const [index, word] of wanted.entries()) {
      const token = this.peek(index);
      if (token?.type !== 'word' || token.text !== word) return false;
    }
    this.#at += wanted.length;
    return true;
  }

  /** Consumes the first of several alternatives (each: words joined by a space) that fits. */
  oneOf<T extends string>(alternatives: readonly T[]): T | undefined {
    return alternatives.find((alternative) => this.words(...alternative.split(' ')));
  }

  symbol(text: string): boolean {
    const token = this.peek();
    if (token?.type !== 'symbol' || token.text !== text) return false;
    this.#at++;
    return true;
  }

  /** True at the statement's semicolon (or where the text ends without one). */
  get atEnd(): boolean {
    const token = this.peek();
    if (!token) return true;
    return token.type === 'symbol' && token.text === ';' && this.peek(1) === undefined;
  }

  /** An identifier, quoted or not. Unquoted ones beyond ASCII fold differently: not accepted. */
  identifier(): string | undefined {
    const token = this.peek();
    if (!token || token.coded) return undefined;
    if (token.type !== 'name' && !(token.type === 'word' && isAscii(token.text))) return undefined;
    if (token.text === '') return undefined;
    this.#at++;
    return this.#decode(token.text);
  }

  /** `name` or `schema.name`. */
  qualifiedName(): QualifiedName | undefined {
    const start = this.#at;
    const first = this.identifier();
    if (first === undefined) return undefined;
    if (!this.symbol('.')) return { schema: undefined, name: first };
    const second = this.identifier();
    if (second !== undefined && !this.symbol('.')) return { schema: first, name: second };
    this.#at = start;
    return undefined;
  }

  /** A literal whose meaning is its text. */
  literal(): string | undefined {
    const token = this.peek();
    if (token?.type !== 'string' || token.coded) return undefined;
    this.#at++;
    return this.#decode(token.text);
  }

  /** Goes behind the parenthesis that closes the one just consumed. */
  skipGroup(): void {
    let depth = 1;
    while (depth > 0) {
      const token = this.next();
      if (!token) return;
      if (token.type !== 'symbol') continue;
      if (token.text === '(') depth++;
      else if (token.text === ')') depth--;
    }
  }
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}
