import type { TocEntry } from '../../../archive/archive-toc.ts';
import { decoderOf } from './archive-encoding.ts';
import type { ArchiveTable } from './read-back-scanner.ts';

/** What pg_dump writes behind the end marker of each table. */
export const BEHIND_ROWS = '\n\n';
const ENCODING = /^SET client_encoding = '(.*)';/;

/** Of the names in the archive. */
export function encodingOf(entries: readonly TocEntry[]): string {
  const entry = entries.find(({ description }) => description === 'ENCODING');
  return ENCODING.exec(entry?.definition ?? '')?.[1] ?? 'UTF8';
}

/** Rows by table, in the order of the table of contents; a table may have more than one entry. */
export class TableRows {
  readonly #decode: (raw: string) => string;
  readonly #tables = new Map<string, { schema: string; name: string; rows: number }>();

  constructor(encoding: string) {
    this.#decode = decoderOf(encoding);
  }

  of({ schema = '', name = '' }: TocEntry): { rows: number } {
    const key = `${schema}\0${name}`;
    const known = this.#tables.get(key);
    if (known) return known;
    const table = { schema: this.#decode(schema), name: this.#decode(name), rows: 0 };
    this.#tables.set(key, table);
    return table;
  }

  list(): ArchiveTable[] {
    return [...this.#tables.values()];
  }
}
