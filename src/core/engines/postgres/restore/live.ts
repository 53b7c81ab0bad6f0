import type { Session } from '../session.ts';

/** What the catalogs say about a database, read from another one. */
export interface DatabaseFacts {
  readonly oid: string;
  readonly name: string;
  readonly owner: string;
  readonly ownerIsSuperuser: boolean;
  readonly isTemplate: boolean;
  readonly allowsConnections: boolean;
  /** -2: an interrupted DROP DATABASE has left it unusable. */
  readonly connectionLimit: number;
  readonly sizeBytes: number;
  readonly tablespace: string;
  /** A new database lies there without being told so, which needs no right. */
  readonly tablespaceIsDefault: boolean;
  readonly tablespaceUsable: boolean;
  readonly encoding: string;
  /** Locale columns by name; they differ from version to version. */
  readonly row: Readonly<Record<string, unknown>>;
}

interface Row extends Omit<DatabaseFacts, 'sizeBytes'> {
  size: string | null;
}

/** Undefined where there is no database of that name. The size is 0 where we may not read it. */
export async function readDatabase(
  session: Session,
  name: string,
): Promise<DatabaseFacts | undefined> {
  const [found] = await session.query<Row>(
    `SELECT d.oid::text AS oid, d.datname AS name, r.rolname AS owner, r.rolsuper AS "ownerIsSuperuser",
            d.datistemplate AS "isTemplate", d.datallowconn AS "allowsConnections",
            d.datconnlimit AS "connectionLimit", t.spcname AS tablespace,
            t.oid = model.dattablespace AS "tablespaceIsDefault",
            (t.oid = model.dattablespace OR has_tablespace_privilege(t.oid, 'CREATE')) AS "tablespaceUsable",
            pg_encoding_to_char(d.encoding) AS encoding, to_jsonb(d) AS row,
            CASE WHEN has_database_privilege(d.oid, 'CONNECT')
                   OR pg_has_role('pg_read_all_stats', 'USAGE')
                 THEN pg_database_size(d.oid)::text END AS size
       FROM pg_database d
       JOIN pg_roles r ON r.oid = d.datdba
       JOIN pg_tablespace t ON t.oid = d.dattablespace
       JOIN pg_database model ON model.datname = 'template0'
      WHERE d.datname = $1`,
    [name],
  );
  if (!found) return undefined;
  const { size, ...rest } = found;
  return { ...rest, sizeBytes: Number(size ?? 0) };
}

/** Current name of the database with this OID. */
export async function nameOfOid(session: Session, oid: string): Promise<string | undefined> {
  const [row] = await session.query<{ name: string }>(
    'SELECT datname AS name FROM pg_database WHERE oid = $1::oid',
    [oid],
  );
  return row?.name;
}

export async function oidOfName(session: Session, name: string): Promise<string | undefined> {
  const [row] = await session.query<{ oid: string }>(
    'SELECT oid::text AS oid FROM pg_database WHERE datname = $1',
    [name],
  );
  return row?.oid;
}
