import type { TableCount } from '../../../archive/manifest.ts';
import { DropbackError } from '../../../runtime/errors.ts';

/** What would change, one line for each table that differs. */
export function differences(live: readonly TableCount[], dump: readonly TableCount[]): string[] {
  const before = new Map(live.map(({ name, rows }) => [name, rows]));
  const after = new Map(dump.map(({ name, rows }) => [name, rows]));
  const gone = live.filter(({ name }) => !after.has(name));
  const fresh = dump.filter(({ name }) => !before.has(name));
  const changed = dump.filter(({ name, rows }) => before.has(name) && before.get(name) !== rows);
  return [
    ...gone.map(({ name, rows }) => `table ${name} disappears (${rows} rows)`),
    ...fresh.map(({ name, rows }) => `table ${name} appears (${rows} rows)`),
    ...changed.map(({ name, rows }) => `table ${name}: ${before.get(name)} rows become ${rows}`),
  ];
}

export function tablesMissing(live: readonly TableCount[], dump: readonly TableCount[]): string[] {
  const there = new Set(dump.map(({ name }) => name));
  return live.map(({ name }) => name).filter((name) => !there.has(name));
}

/** Share of the live bytes that tables may hold which the dump lacks. */
const MOST_MISSING = 0.1;

export interface Comparison {
  readonly live: readonly TableCount[];
  readonly dump: readonly TableCount[];
  /** Bytes of the live tables that the dump lacks, and of all live pages that are in use. */
  readonly missingBytes: number;
  readonly liveBytes: number;
}

/** Throws when a foreign file is so unlike the live database that it must be a mistake. */
export function requireSameApplication(comparison: Comparison): void {
  const { live, dump, missingBytes, liveBytes } = comparison;
  const liveRows = sum(live);
  if (live.length === 0 || liveRows === 0) return;
  if (dump.length === 0) throw refused('drop/data-only', 'the dump has no tables');
  if (sum(dump) === 0) {
    throw refused('drop/schema-only', `the dump has no rows, the live database has ${liveRows}`);
  }
  if (missingBytes <= liveBytes * MOST_MISSING) return;
  const missing = tablesMissing(live, dump);
  const share = Math.round((missingBytes / liveBytes) * 100);
  throw refused(
    'drop/not-same-application',
    `tables that hold ${share} % of the live data are not in the dump: ${missing.slice(0, 8).join(', ')}`,
    { missing: missing.slice(0, 100), missingBytes, liveBytes },
  );
}

function refused(code: string, message: string, facts: Record<string, unknown> = {}) {
  return new DropbackError(code, message, {
    hint: 'this looks like the dump of another application; if it is meant, drop it again with .force before the extension: name.force.db (dropback restore: --force).',
    facts,
  });
}

function sum(tables: readonly TableCount[]): number {
  return tables.reduce((rows, table) => rows + table.rows, 0);
}
