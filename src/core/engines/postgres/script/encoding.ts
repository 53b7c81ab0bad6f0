import { TextDecoder } from 'node:util';
import { DropbackError } from '../../../runtime/errors.ts';
import { decoderLabel, encodingName, isLatin1 } from '../encoding-labels.ts';

/** Encodings whose characters can hold bytes that look like ASCII, a backslash among them. */
const AMBIGUOUS = new Set(['SJIS', 'SHIFTJIS2004', 'BIG5', 'GBK', 'UHC', 'GB18030', 'JOHAB']);

const AMBIGUOUS_ALIASES = new Set([
  'MSKANJI',
  'WIN932',
  'WINDOWS932',
  'WIN936',
  'WINDOWS936',
  'WIN949',
  'WINDOWS949',
  'WIN950',
  'WINDOWS950',
  'SHIFTJIS',
]);

/** The encoding that a script declares, and how to read its names. */
export class ScriptEncoding {
  /** As PostgreSQL spells it, without punctuation: `UTF8`, `LATIN1`. */
  readonly name: string;
  readonly #decoder: TextDecoder | undefined;

  /** Throws `drop/unsupported-encoding` where quotes cannot be told from parts of characters. */
  constructor(declared: string) {
    this.name = encodingName(declared);
    if (AMBIGUOUS.has(this.name) || AMBIGUOUS_ALIASES.has(this.name)) {
      throw new DropbackError(
        'drop/unsupported-encoding',
        `the script is encoded in ${this.name}, in which parts of characters look like quotes`,
        { hint: 'dump the database again with --encoding=UTF8.', facts: { encoding: this.name } },
      );
    }
    const label = decoderLabel(this.name);
    this.#decoder = label ? new TextDecoder(label, { fatal: true, ignoreBOM: true }) : undefined;
  }

  get isUtf8(): boolean {
    return this.name === 'UTF8' || this.name === 'UNICODE';
  }

  /** Latin-1 text (one character a byte) as what it means. Throws on bytes that mean nothing. */
  readonly decode = (text: string): string => {
    if (!/[\x80-\xff]/.test(text)) return text;
    if (isLatin1(this.name)) return text;
    if (!this.#decoder) throw new TypeError(`no decoder for ${this.name}`);
    return this.#decoder.decode(Buffer.from(text, 'latin1'));
  };

  /** For messages, lists and comparison: never throws. */
  readonly decodeLoosely = (text: string): string => {
    try {
      return this.decode(text);
    } catch {
      return text;
    }
  };
}
