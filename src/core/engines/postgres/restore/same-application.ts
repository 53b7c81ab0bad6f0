import { DropbackError } from '../../../runtime/errors.ts';
import type { Session } from '../session.ts';

/** A table of the live database. `bytes` are its rows', without indexes. */
export interface LiveTable {
  readonly schema: string;
  readonly name: string;
  readonly bytes: number;
  /** Its rows are its partitions'; a manifest, which counts rows, does not name it. */
  readonly isPartitioned?: boolean;
}

/** What the dropped content says it holds. */
export interface Incoming {
  readonly tables: readonly { readonly schema: string; readonly name: string }[];
  readonly dataOnly: boolean;
  readonly schemaOnly: boolean;
}

export interface Comparison {
  /** One line each: what appears and what disappears. */
  readonly differences: readonly string[];
  readonly warnings: readonly string[];
}

/** Live bytes, in parts of all, that a file may lack before it counts as something else. */
const MOST_MISSING = 0.1;
const MOST_NAMES = 10;

/** Plain tables, partitioned ones and partitions, without those of extensions. The session is in the live database. */
export async function readLiveTables(inLive: Session): Promise<LiveTable[]> {
  const rows = await inLive.query<Omit<LiveTable, 'bytes'> & { bytes: string }>(
    `SELECT n.nspname AS schema, c.relname AS name, c.relkind = 'p' AS "isPartitioned",
            CASE WHEN c.relkind = 'r' AND pg_relation_size(c.oid) > 0 THEN pg_table_size(c.oid) ELSE 0 END::text AS bytes
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND c.relpersistence IN ('p', 'u')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass
                           AND e.objid = c.oid AND e.objsubid = 0 AND e.deptype = 'e')
      ORDER BY 1, 2`,
  );
  return rows.map((row) => ({ ...row, bytes: Number(row.bytes) }));
}

/** Why a file may differ from what is live: the user insists, or it is a backup of this very database. */
export type Excuse = 'forced' | 'own' | undefined;

/**
 * Throws `drop/data-only`, `drop/schema-only` or `drop/not-same-application` for content that would
 * replace the application's data by something else; an excuse turns the last two into warnings.
 */
export function compareWithLive(
  incoming: Incoming,
  live: readonly LiveTable[],
  excuse: Excuse,
): Comparison {
  if (incoming.dataOnly) throw dataOnly();
  const key = (table: { schema: string; name: string }) =>
    JSON.stringify([table.schema, table.name]);
  const [here, there] = [new Set(live.map(key)), new Set(incoming.tables.map(key))];
  const lacking = live.filter((table) => !table.isPartitioned && !there.has(key(table)));
  const appearing = incoming.tables.filter((table) => !here.has(key(table)));
  const total = live.reduce((sum, table) => sum + table.bytes, 0);
  const missing = lacking.reduce((sum, table) => sum + table.bytes, 0);
  const problems: DropbackError[] = [];
  if (incoming.schemaOnly && total > 0) problems.push(schemaOnly(total));
  if (total > 0 && missing > MOST_MISSING * total) problems.push(notSame(lacking, missing, total));
  const [problem] = problems;
  if (problem && !excuse) throw problem;
  return {
    differences: [
      ...lacking.map((table) => `table ${path(table)} disappears (${table.bytes} bytes)`),
      ...appearing.map((table) => `table ${path(table)} appears`),
    ],
    warnings: problems.map(({ message }) =>
      excuse === 'forced' ? `forced, although ${message}` : message,
    ),
  };
}

function path(table: { readonly schema: string; readonly name: string }): string {
  return JSON.stringify(`${table.schema}.${table.name}`);
}

function dataOnly(): DropbackError {
  return new DropbackError(
    'drop/data-only',
    'the file holds rows but does not create their tables',
    {
      hint: 'dump schema and data (pg_dump without --data-only): a restore builds a whole new database.',
    },
  );
}

function schemaOnly(total: number): DropbackError {
  return new DropbackError(
    'drop/schema-only',
    `the file holds no rows, while the live tables hold ${total} bytes`,
    {
      hint: 'dump the data too, or rename the file to name.force.<extension> to empty the database (dropback restore: --force).',
      facts: { liveBytes: total },
    },
  );
}

function notSame(lacking: readonly LiveTable[], missing: number, total: number): DropbackError {
  const largest = lacking.toSorted((a, b) => b.bytes - a.bytes).slice(0, MOST_NAMES);
  const names = largest.map(path).join(', ');
  const percent = Math.round((100 * missing) / total);
  return new DropbackError(
    'drop/not-same-application',
    `the file lacks live tables that hold ${percent}% of the live data: ${names}`,
    {
      hint: 'check that this is a dump of the same application; to replace it all the same, rename the file to name.force.<extension> (dropback restore: --force).',
      facts: { missingBytes: missing, liveBytes: total, tables: largest },
    },
  );
}
