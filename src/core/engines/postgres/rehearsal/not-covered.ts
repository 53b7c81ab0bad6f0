import type { LeftOutTable, Manifest, TableCount } from '../../../archive/manifest.ts';
import { EXTENSION_TABLES, LARGE_OBJECTS, notedSequences } from '../backup/dump-description.ts';
import type { NotRehearsed } from './not-rehearsed.ts';

const MOST_NAMES = 10;

/**
 * What a rehearsal that went well says nothing of, a line each; empty where it covers everything. `found`:
 * the tables that are there now.
 */
export function notCovered(
  manifest: Pick<Manifest, 'database' | 'leftOut' | 'tables'>,
  found: readonly TableCount[],
  notRehearsed: NotRehearsed,
): string[] {
  const { properties } = manifest.database;
  const lines = [...notRehearsed.warnings()];
  const { leftOut = [], tables: counted } = manifest;
  if (leftOut.length > 0) lines.push(`rows that are not in the backup: ${named(leftOut)}`);
  const known = new Set([...leftOut, ...counted].map(key));
  const uncounted = found.filter((table) => !known.has(key(table)));
  if (uncounted.length > 0) {
    const names = uncounted.map(({ schema, name }) => ({ schema, name }));
    lines.push(`tables whose rows were not counted in the backup: ${named(names)}`);
  }
  const extensions = properties[EXTENSION_TABLES];
  if (typeof extensions === 'string') {
    const tables = JSON.parse(extensions) as LeftOutTable[];
    lines.push(`rows that extensions save in part are not counted: ${named(tables)}`);
  }
  if (!notedSequences(manifest)) {
    lines.push('sequences are not compared: the backup does not say how far they were');
  }
  if (typeof properties[LARGE_OBJECTS] !== 'number') {
    lines.push('large objects are not compared: the backup does not say how many there were');
  }
  return lines;
}

function key({ schema, name }: LeftOutTable): string {
  return JSON.stringify([schema, name]);
}

function named(tables: readonly LeftOutTable[]): string {
  const names = tables.slice(0, MOST_NAMES).map(({ schema, name, rows }) => {
    return `${schema}.${name}${rows === undefined ? '' : ` (${rows} rows)`}`;
  });
  const more = tables.length > MOST_NAMES ? ` and ${tables.length - MOST_NAMES} more` : '';
  return `${names.join(', ')}${more}`;
}
