import { isAbsolute, resolve } from 'node:path';
import SQLite from 'better-sqlite3';
import { type Generated, Kysely, PostgresDialect, SqliteDialect } from 'kysely';
import pg from 'pg';

export interface Schema {
  records: {
    id: Generated<number>;
    title: string;
    created_at: Generated<string>;
  };
}

export type Target =
  | { readonly kind: 'postgres'; readonly url: URL }
  | { readonly kind: 'sqlite'; readonly path: string };

/** `postgresql://user@host/name` (PGPASSWORD is used where it has no password), `sqlite:////path`. */
export function targetOf(text: string): Target {
  const sqlite = /^sqlite:\/\/\/(.+)$/.exec(text)?.[1];
  if (sqlite) return { kind: 'sqlite', path: isAbsolute(sqlite) ? sqlite : resolve(sqlite) };
  const url = URL.parse(text.replace(/^(postgres|postgresql)(\+\w+)?:/, 'postgresql:'));
  if (url?.protocol === 'postgresql:' && url.hostname) return { kind: 'postgres', url };
  throw new Error('DATABASE_URL must be postgresql://… or sqlite:///…');
}

export function postgresSettings(url: URL): pg.ClientConfig {
  return {
    connectionString: url.href,
    connectionTimeoutMillis: 3000,
    query_timeout: 10_000,
    application_name: 'demo-app',
  };
}

export function openDatabase(target: Target): Kysely<Schema> {
  if (target.kind === 'sqlite') {
    const database = new SQLite(target.path, { timeout: 5000 });
    database.pragma('journal_mode = WAL');
    return new Kysely({ dialect: new SqliteDialect({ database }) });
  }
  const pool = new pg.Pool({ ...postgresSettings(target.url), max: 5 });
  // A connection that the server ends while idle is replaced at the next query.
  pool.on('error', (error) => console.error(`idle connection lost: ${error.message}`));
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}
