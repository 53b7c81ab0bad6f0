import { qualified } from './quoting.ts';
import type { Session } from './session.ts';

/** A table whose rows a dump holds. */
export interface CatalogTable {
  readonly schema: string;
  readonly name: string;
  readonly pages: number;
  readonly isUnlogged: boolean;
}

/**
 * What pg_dump takes rows of: plain tables and partitions, the unlogged ones included; not
 * temporary ones, nor foreign tables, nor what belongs to an extension.
 */
const DUMPED_TABLE = `
  c.relkind = 'r' AND c.relpersistence IN ('p', 'u') AND`;

/** Neither the server's own nor an extension's. */
const OWN = `
  n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend e
                   WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                     AND e.objsubid = 0 AND e.deptype = 'e')`;

export async function readTables(session: Session): Promise<CatalogTable[]> {
  const rows = await session.query<{
    schema: string;
    name: string;
    pages: number;
    unlogged: boolean;
  }>(
    `SELECT n.nspname AS schema, c.relname AS name, c.relpages AS pages,
            c.relpersistence = 'u' AS unlogged
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE ${DUMPED_TABLE} ${OWN}
      ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
  return rows.map(({ schema, name, pages, unlogged }) => {
    return { schema, name, pages, isUnlogged: unlogged };
  });
}

/** Partitioned tables: they have no rows of their own, but pg_dump locks them as it does the others. */
export function readPartitioned(session: Session): Promise<{ schema: string; name: string }[]> {
  return session.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'p' AND c.relpersistence = 'p' AND ${OWN}
      ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
}

/** Tables of extensions whose rows the extension asks pg_dump to save, in part. */
export async function readExtensionTables(
  session: Session,
): Promise<{ schema: string; name: string }[]> {
  return session.query<{ schema: string; name: string }>(
    `SELECT DISTINCT n.nspname AS schema, c.relname AS name
       FROM pg_extension e CROSS JOIN unnest(e.extconfig) AS config(oid)
       JOIN pg_class c ON c.oid = config.oid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' ORDER BY 1, 2`,
  );
}

export async function countLargeObjects(session: Session): Promise<number> {
  const row = await session.queryOne<{ n: string }>(
    'SELECT count(*) AS n FROM pg_largeobject_metadata',
  );
  return Number(row.n);
}

/** How far a sequence has come. */
export interface SequencePosition {
  readonly schema: string;
  readonly name: string;
  /** Decimal: a bigint. */
  readonly last: string;
  readonly isAscending: boolean;
}

const SEQUENCES_PER_STATEMENT = 50;

/**
 * Sequences that have given out a value, without those that begin again at their end, and without
 * unlogged ones, which a standby can't read. Read as pg_dump reads them: the lock that
 * `pg_sequence_last_value` takes would keep the application from changing them.
 */
export async function readSequences(session: Session): Promise<SequencePosition[]> {
  const all = await session.query<{ schema: string; name: string; isAscending: boolean }>(
    `SELECT n.nspname AS schema, c.relname AS name, s.seqincrement > 0 AS "isAscending"
       FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
       JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relpersistence = 'p' AND NOT s.seqcycle
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend e
                         WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                           AND e.objsubid = 0 AND e.deptype = 'e')
      ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
  const positions: SequencePosition[] = [];
  for (let from = 0; from < all.length; from += SEQUENCES_PER_STATEMENT) {
    const group = all.slice(from, from + SEQUENCES_PER_STATEMENT);
    const statement = group.map(
      ({ schema, name }, index) =>
        `SELECT ${index} AS i, last_value::text AS last FROM ${qualified(schema, name)} WHERE is_called`,
    );
    const rows = await session.query<{ i: number; last: string }>(statement.join(' UNION ALL '));
    for (const { i, last } of rows) {
      const sequence = group[i];
      if (sequence) positions.push({ ...sequence, last });
    }
  }
  return positions;
}

/** Constraints and indexes that are not valid, as `schema.table.name`. */
export async function readNotValid(session: Session): Promise<string[]> {
  const rows = await session.query<{ path: string }>(
    `SELECT concat_ws('.', n.nspname, c.relname, o.name) AS path
       FROM (SELECT conrelid AS relid, conname AS name FROM pg_constraint
              WHERE NOT convalidated AND conrelid <> 0
             UNION ALL
             SELECT i.indrelid, x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
              WHERE NOT i.indisvalid) o
       JOIN pg_class c ON c.oid = o.relid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      ORDER BY 1`,
  );
  return rows.map((row) => row.path);
}

export interface InstalledExtension {
  readonly name: string;
  readonly version: string;
}

/** Extensions that a dump creates; those that every new database has are left out, as pg_dump does. */
export function readExtensions(session: Session): Promise<InstalledExtension[]> {
  return session.query<{ name: string; version: string }>(
    `SELECT extname AS name, extversion AS version FROM pg_extension
      WHERE oid >= 16384 ORDER BY extname COLLATE "C"`,
  );
}

/**
 * Settings of the database itself (ALTER DATABASE … SET). An application's own ones (with a dot)
 * often hold secrets: their names alone are told.
 */
export async function readDatabaseSettings(session: Session): Promise<Map<string, string | null>> {
  const rows = await session.query<{ setting: string }>(
    `SELECT unnest(s.setconfig) AS setting FROM pg_db_role_setting s
       JOIN pg_database d ON d.oid = s.setdatabase
      WHERE d.datname = current_database() AND s.setrole = 0 ORDER BY 1`,
  );
  return new Map(
    rows.map(({ setting }) => {
      const name = setting.slice(0, setting.indexOf('='));
      return [name, name.includes('.') ? null : setting.slice(name.length + 1)];
    }),
  );
}
