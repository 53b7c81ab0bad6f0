import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import { DropbackError } from '../../../runtime/errors.ts';
import type { CopyAnswer, CopyRequest } from '../protocol.ts';
import { open } from './connection.ts';
import { requireSpace } from './files.ts';
import { facts, requireUsable } from './probe.ts';

/** All pages in one step: a copy in several is begun anew whenever someone writes. */
const ALL_PAGES = 0x7fffffff;

/**
 * A consistent copy of a database that others write to: from within one read transaction, then made
 * a self-contained file (rollback-journal mode). It isn't checked yet.
 */
export async function copy(request: CopyRequest): Promise<CopyAnswer> {
  requireUsable(request.from);
  mkdirSync(request.folder, { mode: 0o700 });
  const path = join(request.folder, 'copy.db');
  const source = open(request.from, request.busyMs);
  let sourceFacts: CopyAnswer['source'];
  let snapshotAt: string;
  try {
    source.exec('BEGIN');
    sourceFacts = facts(source, request.from);
    if (sourceFacts.pages === 0) throw emptyDatabase(request.from);
    requireSpace(request.folder, sourceFacts.pages * sourceFacts.pageSize);
    snapshotAt = new Date().toISOString();
    await copyPages(source, path);
    source.exec('ROLLBACK');
  } finally {
    source.close();
  }
  const database = open(path, 0);
  try {
    database.exec('PRAGMA journal_mode = DELETE');
  } finally {
    database.close();
  }
  return { source: sourceFacts, snapshotAt, copy: path, bytes: statSync(path).size };
}

/**
 * better-sqlite3 takes "locked, nothing copied yet" for the end, because no page remains then: only
 * the number of pages tells the difference.
 */
export async function copyPages(source: Database.Database, path: string): Promise<void> {
  const { totalPages } = await source.backup(path, { progress: () => ALL_PAGES });
  if (totalPages > 0 && statSync(path).size > 0) return;
  throw Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' });
}

function emptyDatabase(path: string): DropbackError {
  return new DropbackError('backup/empty-database', `${path} is empty: nothing was created in it`, {
    hint: 'check that this is the file that the application uses; SQLite creates an empty file for any path that it is given.',
    retryable: true,
    facts: { path },
  });
}
