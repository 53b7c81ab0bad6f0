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
  c.relkind = 'r' AND c.relpersistence IN ('p', 'u')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
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
      WHERE ${DUMPED_TABLE}
      ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`,
  );
  return rows.map(({ schema, name, pages, unlogged }) => {
    return { schema, name, pages, isUnlogged: unlogged };
  });
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
