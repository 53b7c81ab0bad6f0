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

/** Finds an INSERT's table; the same beginning is parsed once. */
export class InsertRows {
  readonly #seen = new Map<string, InsertTarget>();

  /** Undefined for what isn't an INSERT as pg_dump writes it. */
  target(bytes: Buffer, decode: (text: string) => string): InsertTarget | undefined {
    const open = bytes.indexOf(0x28);
    const beginning = open < 0 ? '' : bytes.toString('latin1', 0, open);
    // A quoted name may hold the parenthesis itself.
    if (beginning === '' || beginning.includes('"') || beginning.length > 400) {
      return parse(bytes, decode);
    }
    const known = this.#seen.get(beginning);
    if (known) return known;
    const target = parse(bytes, decode);
    if (target && this.#seen.size < MOST_REMEMBERED) this.#seen.set(beginning, target);
    return target;
  }
}

export function rowsOf(target: InsertTarget, groups: number): number {
  return target.isDefault ? 1 : Math.max(0, groups - target.groupsBefore);
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
