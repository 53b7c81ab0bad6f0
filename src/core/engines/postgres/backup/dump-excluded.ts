import type { LeftOutTable } from '../../../archive/manifest.ts';
import type { Dump } from '../../engine.ts';
import { scanArchive } from './read-back-scan.ts';

/**
 * What the patterns of `--exclude-table-data` mean is pg_dump's alone to say: the tables whose rows
 * the archive doesn't hold at all are the ones that were left out. They are counted as empty, which
 * they will be after a restore, and each is named. `all` are the tables of the snapshot, with their
 * rows where they were counted.
 */
export async function leaveOutExcluded(
  spool: string,
  dump: Dump,
  all: readonly LeftOutTable[],
  signal: AbortSignal,
): Promise<Dump> {
  const { tables: read = [] } = dump.readOnTheWay ?? (await scanArchive(spool, dump, signal));
  const found = new Set(read.map((table) => key(table)));
  const leftOut = all
    .filter((table) => !found.has(key(table)))
    .map(({ schema, name, rows }) => ({ schema, name, ...(rows === undefined ? {} : { rows }) }));
  const warnings = leftOut.map(({ schema, name, rows }) => {
    const counted = rows === undefined ? '' : ` (${rows} rows)`;
    return `rows left out by BACKUP_EXCLUDE_TABLE_DATA: ${schema}.${name}${counted}`;
  });
  if (leftOut.length === 0) {
    warnings.push('BACKUP_EXCLUDE_TABLE_DATA leaves nothing out: no table fits its patterns');
  }
  const tables = dump.tables.map((table) =>
    found.has(key(table)) ? table : { ...table, rows: 0 },
  );
  return { ...dump, tables, leftOut, warnings: [...dump.warnings, ...warnings] };
}

function key(table: { schema: string; name: string }): string {
  return JSON.stringify([table.schema, table.name]);
}
