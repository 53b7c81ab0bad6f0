import type { TableCount } from '../../../archive/manifest.ts';
import type { BrokenReferences } from '../protocol.ts';
import { type Connection, quoted } from './connection.ts';
import { needsApplication } from './sqlite-errors.ts';

/**
 * Tables that hold rows of their own. Virtual tables are left out: what they show lies in their
 * shadow tables, which are counted, and asking them would run their module.
 */
export function tableNames(connection: Connection): string[] {
  const rows = connection
    .prepare(
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
       AND rootpage > 0 ORDER BY name`,
    )
    .all() as { name: string }[];
  return rows.map((row) => row.name);
}

export function countRows(connection: Connection): TableCount[] {
  return tableNames(connection).map((name) => {
    const row = connection.prepare(`SELECT count(*) AS rows FROM ${quoted(name)}`).get();
    return { schema: 'main', name, rows: Number((row as { rows: number | bigint }).rows) };
  });
}

/** Bytes of a table's pages and of its indexes' pages. */
export function bytesOf(connection: Connection, table: string): number {
  const names = connection
    .prepare('SELECT name FROM sqlite_schema WHERE tbl_name = ? AND rootpage > 0')
    .all(table) as { name: string }[];
  const size = connection.prepare(
    'SELECT sum(pgsize) AS bytes FROM dbstat WHERE aggregate = TRUE AND name = ?',
  );
  return names.reduce((sum, { name }) => {
    const row = size.get(name) as { bytes: number | bigint | null };
    return sum + Number(row.bytes ?? 0);
  }, 0);
}

/** Broken references by child and parent table. A schema that can't be checked counts as none. */
export function brokenReferences(connection: Connection): BrokenReferences[] {
  const counts = new Map<string, BrokenReferences>();
  for (const name of tableNames(connection)) {
    for (const row of violations(connection, name)) {
      const key = JSON.stringify([row.table, row.parent]);
      const rows = (counts.get(key)?.rows ?? 0) + 1;
      counts.set(key, { table: row.table, parent: row.parent, rows });
    }
  }
  return [...counts.values()];
}

function* violations(connection: Connection, table: string) {
  try {
    const statement = connection.prepare(`PRAGMA foreign_key_check(${quoted(table)})`);
    for (const row of statement.iterate()) yield row as { table: string; parent: string };
  } catch (error) {
    // A parent without a unique index ("foreign key mismatch") makes the constraint unusable, in
    // the application too; no row is wrong because of it.
    if (/foreign key mismatch/.test(String(error)) || needsApplication(error)) return;
    throw error;
  }
}
