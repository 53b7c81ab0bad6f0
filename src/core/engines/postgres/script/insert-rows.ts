import { type QualifiedName, StatementReader } from './reader.ts';

export interface InsertTarget {
  readonly name: QualifiedName;
  /** Groups of the statement that aren't rows: the column list. */
  readonly groupsBefore: number;
  /** `DEFAULT VALUES` is one row without a group. */
  readonly isDefault: boolean;
  /** INSERT … SELECT: the script doesn't say. */
  readonly countable: boolean;
}

/** Enough for the longest name and 1,600 columns. */
const HEAD_BYTES = 256 * 1024;
const MOST_REMEMBERED = 10_000;

const INSERT_INTO = Buffer.from('INSERT INTO ');

/** The millions of statements of an --inserts dump are told by their first bytes. */
export function isInsert(bytes: Buffer): boolean {
  return beginsWith(bytes, INSERT_INTO);
}

/** Finds an INSERT's table; the same beginning is parsed once. */
export class InsertRows {
  readonly #seen = new Map<string, InsertTarget>();
  #last: { readonly beginning: Buffer; readonly target: InsertTarget } | undefined;

  /** Undefined for what isn't an INSERT as pg_dump writes it. */
  target(bytes: Buffer, decode: (text: string) => string): InsertTarget | undefined {
    const last = this.#last;
    // Nothing is quoted in a beginning that is remembered, so the parenthesis ends it.
    if (last && beginsWith(bytes, last.beginning)) return last.target;
    const open = bytes.indexOf(0x28);
    const beginning = open < 0 ? '' : bytes.toString('latin1', 0, open);
    // A quoted name may hold the parenthesis itself.
    if (beginning === '' || beginning.includes('"') || beginning.length > 400) {
      return parse(bytes, decode);
    }
    const target = this.#seen.get(beginning) ?? parse(bytes, decode);
    if (!target) return undefined;
    if (this.#seen.size < MOST_REMEMBERED) this.#seen.set(beginning, target);
    this.#last = { beginning: Buffer.from(bytes.subarray(0, open + 1)), target };
    return target;
  }
}

export function rowsOf(target: InsertTarget, groups: number): number {
  return target.isDefault ? 1 : Math.max(0, groups - target.groupsBefore);
}

function beginsWith(bytes: Buffer, beginning: Buffer): boolean {
  for (let at = 0; at < beginning.length; at++) if (bytes[at] !== beginning[at]) return false;
  return true;
}

function parse(bytes: Buffer, decode: (text: string) => string): InsertTarget | undefined {
  const reader = new StatementReader(bytes.subarray(0, HEAD_BYTES), decode);
  if (!reader.words('insert', 'into')) return undefined;
  const name = reader.qualifiedName();
  if (!name) return undefined;
  const hasColumns = reader.symbol('(');
  if (hasColumns) reader.skipGroup();
  if (reader.words('overriding')) {
    reader.next();
    reader.words('value');
  }
  const isDefault = reader.words('default', 'values');
  const countable = isDefault || reader.words('values');
  return { name, groupsBefore: hasColumns ? 1 : 0, isDefault, countable };
}
