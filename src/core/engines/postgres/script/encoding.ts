import { TextDecoder } from 'node:util';
import { DropbackError } from '../../../runtime/errors.ts';

/** PostgreSQL's encoding names (letters and digits, upper case) and what TextDecoder calls them. */
const LABELS: Readonly<Record<string, string>> = {
  UTF8: 'utf-8',
  UNICODE: 'utf-8',
  SQLASCII: 'utf-8',
  LATIN2: 'iso-8859-2',
  LATIN3: 'iso-8859-3',
  LATIN4: 'iso-8859-4',
  LATIN5: 'iso-8859-9',
  LATIN6: 'iso-8859-10',
  LATIN7: 'iso-8859-13',
  LATIN8: 'iso-8859-14',
  LATIN9: 'iso-8859-15',
  LATIN10: 'iso-8859-16',
  ISO88595: 'iso-8859-5',
  ISO88596: 'iso-8859-6',
  ISO88597: 'iso-8859-7',
  ISO88598: 'iso-8859-8',
  KOI8R: 'koi8-r',
  KOI8U: 'koi8-u',
  WIN866: 'ibm866',
  WIN874: 'windows-874',
  WIN1250: 'windows-1250',
  WIN1251: 'windows-1251',
  WIN1252: 'windows-1252',
  WIN1253: 'windows-1253',
  WIN1254: 'windows-1254',
  WIN1255: 'windows-1255',
  WIN1256: 'windows-1256',
  WIN1257: 'windows-1257',
  WIN1258: 'windows-1258',
  EUCJP: 'euc-jp',
  EUCJIS2004: 'euc-jp',
  EUCKR: 'euc-kr',
  EUCCN: 'gbk',
};

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
    this.name = declared.toUpperCase().replace(/[^A-Z0-9]/g, '');
    if (AMBIGUOUS.has(this.name) || AMBIGUOUS_ALIASES.has(this.name)) {
      throw new DropbackError(
        'drop/unsupported-encoding',
        `the script is encoded in ${this.name}, in which parts of characters look like quotes`,
        { hint: 'dump the database again with --encoding=UTF8.', facts: { encoding: this.name } },
      );
    }
    const label = LABELS[this.name];
    this.#decoder = label ? new TextDecoder(label, { fatal: true, ignoreBOM: true }) : undefined;
  }

  get isUtf8(): boolean {
    return this.name === 'UTF8' || this.name === 'UNICODE';
  }

  /** Latin-1 text (one character a byte) as what it means. Throws on bytes that mean nothing. */
  readonly decode = (text: string): string => {
    if (!/[\x80-\xff]/.test(text)) return text;
    if (this.name === 'LATIN1' || this.name === 'ISO88591') return text;
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
