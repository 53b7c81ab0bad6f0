import type { Session } from './session.ts';

/** What a session can see of its server and of the role that it is. */
export interface ServerInfo {
  readonly version: string;
  readonly major: number;
  readonly isSuperuser: boolean;
  readonly bypassesRowSecurity: boolean;
  readonly canCreateDatabases: boolean;
  readonly canCreateRoles: boolean;
  /** A standby: it can be dumped, nothing can be written. */
  readonly inRecovery: boolean;
  readonly connections: ConnectionRoom;
}

export interface ConnectionRoom {
  readonly most: number;
  readonly used: number;
  /** Kept for superusers and pg_use_reserved_connections. */
  readonly reserved: number;
  /** What this role may still open, all limits considered. */
  readonly free: number;
}

export async function readServerInfo(session: Session): Promise<ServerInfo> {
  const role = await session.queryOne<{
    rolsuper: boolean;
    rolbypassrls: boolean;
    rolcreatedb: boolean;
    rolcreaterole: boolean;
    recovery: boolean;
  }>(
    `SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, pg_is_in_recovery() AS recovery
       FROM pg_roles WHERE rolname = current_user`,
  );
  return {
    version: session.version,
    major: session.major,
    isSuperuser: role.rolsuper,
    bypassesRowSecurity: role.rolsuper || role.rolbypassrls,
    canCreateDatabases: role.rolsuper || role.rolcreatedb,
    canCreateRoles: role.rolsuper || role.rolcreaterole,
    inRecovery: role.recovery,
    connections: await readConnectionRoom(session),
  };
}

/** Free connections: the server's, the role's and the database's limits, whichever is tightest. */
export async function readConnectionRoom(session: Session): Promise<ConnectionRoom> {
  const row = await session.queryOne<Record<'most' | 'reserved' | 'used' | 'free', string>>(
    `WITH limits AS (
       SELECT current_setting('max_connections')::bigint AS most,
              (SELECT sum(setting::bigint) FROM pg_settings
                WHERE name = 'reserved_connections'
                   OR (name = 'superuser_reserved_connections')) AS reserved),
     backends AS (
       SELECT usesysid, datid FROM pg_stat_activity
        WHERE backend_type = 'client backend' OR backend_type IS NULL),
     counts AS (
       SELECT count(*) AS used,
              count(*) FILTER (WHERE b.usesysid = r.oid) AS by_role,
              count(*) FILTER (WHERE b.datid = d.oid) AS by_database
         FROM backends b, pg_roles r, pg_database d
        WHERE r.rolname = current_user AND d.datname = current_database())
     SELECT l.most, l.reserved, c.used,
            least(l.most - c.used - CASE WHEN r.rolsuper THEN 0 ELSE l.reserved END,
                  CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit - c.by_role END,
                  CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit - c.by_database END) AS free
       FROM limits l, counts c, pg_roles r, pg_database d
      WHERE r.rolname = current_user AND d.datname = current_database()`,
  );
  return {
    most: Number(row.most),
    used: Number(row.used),
    reserved: Number(row.reserved),
    free: Number(row.free),
  };
}

/** One database of the server, as far as it can be seen from any other. */
export interface DatabaseFacts {
  readonly name: string;
  readonly oid: number;
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** `libc`, `icu` or `builtin`. */
  readonly localeProvider: string;
  /** Locale of the provider where that isn't libc. */
  readonly locale: string | null;
  readonly icuRules: string | null;
  readonly collationVersion: string | null;
  readonly tablespace: string;
  readonly connectionLimit: number;
}

/** Undefined where the server has no database of that name. */
export async function readDatabaseFacts(
  session: Session,
  database: string,
): Promise<DatabaseFacts | undefined> {
  // As JSON, because the columns of pg_database differ from version to version.
  const [row] = await session.query<{
    json: Record<string, unknown>;
    owner: string;
    encoding: string;
    tablespace: string;
  }>(
    `SELECT to_jsonb(d) - 'datacl' AS json, pg_get_userbyid(datdba) AS owner,
            pg_encoding_to_char(encoding) AS encoding, t.spcname AS tablespace
       FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
      WHERE datname = $1::text::name`,
    [database],
  );
  if (row === undefined || row.json['datname'] !== database) return undefined;
  const { json } = row;
  const text = (value: unknown) => (typeof value === 'string' ? value : null);
  const providers: Readonly<Record<string, string>> = { c: 'libc', i: 'icu', b: 'builtin' };
  return {
    name: database,
    oid: Number(json['oid']),
    owner: row.owner,
    encoding: row.encoding,
    collate: text(json['datcollate']) ?? '',
    ctype: text(json['datctype']) ?? '',
    localeProvider: providers[text(json['datlocprovider']) ?? 'c'] ?? 'libc',
    locale: text(json['datlocale']) ?? text(json['daticulocale']),
    icuRules: text(json['daticurules']),
    collationVersion: text(json['datcollversion']),
    tablespace: row.tablespace,
    connectionLimit: Number(json['datconnlimit']),
  };
}

/** Bytes on the server's disk; needs CONNECT on it. */
export async function readDatabaseSize(session: Session, database: string): Promise<number> {
  const row = await session.queryOne<{ bytes: string }>(
    'SELECT pg_database_size($1::text::name) AS bytes',
    [database],
  );
  return Number(row.bytes);
}
