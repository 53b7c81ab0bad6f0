import type { Dump } from '../../engine.ts';
import { scanArchive } from './read-back-scan.ts';

/**
 * What the patterns of `--exclude-table-data` mean is pg_dump's alone to say: the tables whose rows
 * the archive doesn't hold at all are the ones that were left out. They are counted as empty, which
 * they will be after a restore, and each is named in a warning.
 */
export async function leaveOutExcluded(
  spool: string,
  dump: Dump,
  signal: AbortSignal,
): Promise<Dump> {
  const { tables: read = [] } = dump.readOnTheWay ?? (await scanArchive(spool, dump, signal));
  const found = new Set(read.map((table) => key(table)));
  const leftOut = dump.tables.filter((table) => !found.has(key(table)));
  const warnings = leftOut.map(({ schema, name, rows }) => {
    return `rows left out by BACKUP_EXCLUDE_TABLE_DATA: ${schema}.${name} (${rows} rows)`;
  });
  if (leftOut.length === 0) {
    warnings.push('BACKUP_EXCLUDE_TABLE_DATA leaves nothing out: no table fits its patterns');
  }
  const tables = dump.tables.map((table) =>
    found.has(key(table)) ? table : { ...table, rows: 0 },
  );
  return { ...dump, tables, warnings: [...dump.warnings, ...warnings] };
}

function key(table: { schema: string; name: string }): string {
  return JSON.stringify([table.schema, table.name]);
}
