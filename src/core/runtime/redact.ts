import { BASE64, base64Readings, DEPTH, everyReading, readings } from './readings.ts';
import { shorten } from './shorten.ts';

/** Shorter ones are no secrets that could be told from ordinary words. */
const SHORTEST_SECRET = 6;

const redactors = new WeakMap<readonly string[], Redactor>();

/**
 * Replaces every secret that this process was given, whatever text it got into: as it stands, and
 * written as others repeat it, percent-encoded, escaped for JSON or HTML, or in base64.
 */
export class Redactor {
  readonly #secrets: readonly string[];

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

  get isEmpty(): boolean {
    return this.#secrets.length === 0;
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
    // Once over all that it may say: of a thousand databases each secret is looked for, in every line.
    if (this.#secrets.length === 0 || !this.#holdsOne(everyReading(text))) return text;
    const left = readings.reduce((known, read) => this.#hideIn(known, read), this.#hide(text));
    return this.#withoutBase64(left);
  }

  /** A line of JSON: secrets in its values, which must leave it JSON. */
  json(line: string): string {
    if (this.text(line) === line) return line;
    return `${JSON.stringify(this.value(JSON.parse(line)))}\n`;
  }

  /** Whatever JSON can hold: all texts in it. */
  value(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((one) => this.value(one));
    if (typeof value !== 'object' || value === null) return value;
    if ('toJSON' in value) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.value(one)]));
  }

  #hide(text: string): string {
    return this.#secrets.reduce((left, secret) => left.replaceAll(secret, '***'), text);
  }

  /** What it says is shown then, no longer how it was written: three times, as JSON in JSON in a line of a log. */
  #hideIn(text: string, read: (text: string) => string): string {
    let said = text;
    for (let n = 0; n < DEPTH; n++) {
      const before = said;
      said = read(said);
      if (said === before) return text;
      const hidden = this.#hide(said);
      if (hidden !== said) return this.#hideIn(hidden, read);
    }
    return text;
  }

  #holdsOne(text: string): boolean {
    return this.#secrets.some((secret) => text.includes(secret));
  }

  #withoutBase64(text: string): string {
    return text.replace(BASE64, (run) =>
      base64Readings(run).some((said) => this.#holdsOne(said)) ? '***' : run,
    );
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
