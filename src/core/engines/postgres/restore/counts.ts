import type { TableCount } from '../../../archive/manifest.ts';
import { readTables } from '../catalog.ts';
import { sqlState } from '../connection-errors.ts';
import { qualified } from '../quoting.ts';
import type { Session } from '../session.ts';
import { rollBack } from './transaction.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

/** Rows of every table that a dump holds rows of, counted one by one. */
export async function countAll(
  session: Session,
  progress: (fraction: number) => void,
): Promise<TableCount[]> {
  const tables = await readTables(session);
  const counts: TableCount[] = [];
  for (const { schema, name } of tables) {
    counts.push({ schema, name, rows: await countRows(session, qualified(schema, name)) });
    progress(counts.length / tables.length);
  }
  return counts;
}

/**
 * With row_security off the server refuses to count where a policy would hide rows. Forced row
 * security holds for owners too: they lift it, in a transaction that is rolled back.
 */
async function countRows(session: Session, table: string): Promise<number> {
  try {
    return await count(session, table);
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
  }
  await session.query('BEGIN');
  try {
    await session.query(`ALTER TABLE ONLY ${table} NO FORCE ROW LEVEL SECURITY`);
    return await count(session, table);
  } finally {
    await rollBack(session);
  }
}

async function count(session: Session, table: string): Promise<number> {
  const { rows } = await session.queryOne<{ rows: string }>(
    `SELECT count(*)::text AS rows FROM ONLY ${table}`,
  );
  return Number(rows);
}

/** One line for each table whose rows are not those that the manifest counted. */
export function countDifferences(
  expected: readonly TableCount[],
  found: readonly TableCount[],
): string[] {
  const key = (table: TableCount) => JSON.stringify([table.schema, table.name]);
  const rows = new Map(found.map((table) => [key(table), table.rows]));
  const known = new Set(expected.map(key));
  const differences: string[] = [];
  for (const table of expected) {
    const have = rows.get(key(table));
    if (have === table.rows) continue;
    const what = have === undefined ? 'is missing' : `has ${have} rows`;
    differences.push(`${key(table)} ${what}, ${table.rows} were expected`);
  }
  for (const table of found) {
    if (known.has(key(table)) || table.rows === 0) continue;
    differences.push(`${key(table)} has ${table.rows} rows, none were expected`);
  }
  return differences;
}
