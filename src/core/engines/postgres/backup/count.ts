import type { TableCount } from '../../../archive/manifest.ts';
import type { CatalogTable } from '../catalog.ts';
import { qualified } from '../quoting.ts';
import type { Session } from '../session.ts';

/** Tables above this many pages (80 MB) are counted alone, where the server may do it in parallel. */
const LARGE_TABLE_PAGES = 10_000;
const TABLES_PER_STATEMENT = 50;

/**
 * Exact rows of each table in the session's snapshot, the table alone, without its children.
 * Throws `database/query-failed` as the session does.
 */
export async function countRows(
  session: Session,
  tables: readonly CatalogTable[],
  signal: AbortSignal,
): Promise<TableCount[]> {
  const counts = new Map<CatalogTable, number>();
  for (const group of groups(tables)) {
    const statement = group.map(
      ({ schema, name }, index) =>
        `SELECT ${index} AS i, count(*) AS n FROM ONLY ${qualified(schema, name)}`,
    );
    const rows = await session.query<{ i: number; n: string }>(
      statement.join(' UNION ALL '),
      [],
      signal,
    );
    for (const { i, n } of rows) {
      const table = group[i];
      if (table) counts.set(table, Number(n));
    }
  }
  return tables.map((table) => {
    return { schema: table.schema, name: table.name, rows: counts.get(table) ?? 0 };
  });
}

function groups(tables: readonly CatalogTable[]): CatalogTable[][] {
  const large = tables.filter((table) => table.pages > LARGE_TABLE_PAGES);
  const small = tables.filter((table) => table.pages <= LARGE_TABLE_PAGES);
  const all = large.map((table) => [table]);
  for (let from = 0; from < small.length; from += TABLES_PER_STATEMENT) {
    all.push(small.slice(from, from + TABLES_PER_STATEMENT));
  }
  return all;
}
