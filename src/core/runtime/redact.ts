import { shorten } from './shorten.ts';

/** Shorter ones are no secrets that could be told from ordinary words. */
const SHORTEST_SECRET = 6;

const redactors = new WeakMap<readonly string[], Redactor>();

/** Replaces every secret that this process was given, whatever text it got into. */
export class Redactor {
  readonly #secrets: readonly string[];
  #escaped: readonly string[] | undefined;

  constructor(secrets: readonly string[]) {
    const all = new Set(secrets.filter((secret) => secret.length >= SHORTEST_SECRET));
    // The longest first: one may hold another.
    this.#secrets = [...all].sort((a, b) => b.length - a.length);
  }

  /** One for the same list: of a thousand databases each has those of all. */
  static of(secrets: readonly string[]): Redactor {
    const known = redactors.get(secrets) ?? new Redactor(secrets);
    redactors.set(secrets, known);
    return known;
  }

  /**
   * For what a receiver answers: its path and query too, whole and in pieces, as many answer with
   * them. Not for other texts: an ordinary word (`/backup`) may be a piece.
   */
  withAddress(address: string): Redactor {
    const { pathname, search } = new URL(address);
    const pieces = [...pathname.split('/'), ...search.slice(1).split(/[&=]/)];
    const all = [`${pathname}${search}`, pathname, search, ...pieces];
    return new Redactor([...this.#secrets, ...all, ...all.map(decoded)]);
  }

  text(text: string): string {
    return this.#secrets.reduce((left, secret) => left.replaceAll(secret, '***'), text);
  }

  /** A line of JSON: secrets in its values, which must leave it JSON. */
  json(line: string): string {
    if (!this.#inJson.some((secret) => line.includes(secret))) return line;
    return `${JSON.stringify(this.#value(JSON.parse(line)))}\n`;
  }

  /** As they stand in JSON. */
  get #inJson(): readonly string[] {
    this.#escaped ??= this.#secrets.map((secret) => JSON.stringify(secret).slice(1, -1));
    return this.#escaped;
  }

  #value(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((one) => this.#value(one));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.#value(one)]));
  }

  /** One line, without control characters, bounded. */
  line(text: string, most = 500): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
    const clean = this.text(text).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
    return shorten(clean, most);
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
