import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { DropbackError } from '../../../runtime/errors.ts';
import type { FileFacts } from '../protocol.ts';
import { type Connection, open, pragma } from './connection.ts';
import { freeBytes, identityOf } from './files.ts';
import { readHeader } from './header.ts';
import { notSqlite } from './sqlite-errors.ts';

export async function version(): Promise<string> {
  const database = new Database(':memory:');
  const row = database.prepare('SELECT sqlite_version() AS version').get();
  database.close();
  return (row as { version: string }).version;
}

/** Opens the file as an application would (which rolls back a hot journal) and reads its header. */
export async function probe(path: string): Promise<FileFacts> {
  requireUsable(path);
  const database = open(path, 5000);
  try {
    return facts(database, path);
  } finally {
    database.close();
  }
}

/** Whether SQLite may be let near this file: there, ours to write beside, and a database. */
export function requireUsable(path: string): void {
  if (!existsSync(path)) {
    throw new DropbackError('database/missing', `${path} does not exist`, {
      hint: 'it is created by the application; check the path and that its volume is mounted here.',
      retryable: true,
      facts: { path },
    });
  }
  requireWritable(path);
  const { size } = statSync(path);
  if (size > 0 && !readHeader(path).isSqlite) throw notSqlite();
}

/**
 * A reader needs write access too: in WAL mode the -shm file, in the other modes a hot journal. A
 * read-only mount fails here rather than in the middle of the night.
 */
function requireWritable(path: string): void {
  for (const each of [path, dirname(path)]) {
    try {
      accessSync(each, constants.W_OK);
    } catch (cause) {
      throw new DropbackError('database/not-writable', `${each} is not writable`, {
        hint: 'mount the folder of the database read-write: even reading a SQLite database needs its -wal, -shm and -journal files.',
        facts: { path: each },
        cause,
      });
    }
  }
}

export function facts(database: Connection, path: string): FileFacts {
  const stats = statSync(path);
  const folder = dirname(path);
  const library = database.prepare('SELECT sqlite_version() AS version').get();
  // The first read: rolls back a hot journal, and tells whether the pages can be decoded at all.
  database.prepare('SELECT count(*) FROM sqlite_schema').get();
  return {
    sqliteVersion: (library as { version: string }).version,
    identity: identityOf(stats),
    bytes: stats.size,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    links: stats.nlink,
    isMount: stats.dev !== statSync(folder).dev,
    freeBytes: freeBytes(folder),
    journalMode: pragma(database, 'journal_mode') === 'wal' ? 'wal' : 'rollback',
    pageSize: Number(pragma(database, 'page_size')),
    pages: Number(pragma(database, 'page_count')),
    freePages: Number(pragma(database, 'freelist_count')),
    encoding: String(pragma(database, 'encoding')),
    userVersion: Number(pragma(database, 'user_version')),
    applicationId: Number(pragma(database, 'application_id')),
  };
}
