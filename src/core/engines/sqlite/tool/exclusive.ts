import type Database from 'better-sqlite3';
import { DropbackError } from '../../../runtime/errors.ts';
import { open, pragma, untilFree } from './connection.ts';

/**
 * Opens the live database and takes it out of WAL mode, which SQLite grants only when nobody else
 * has the file open; that also folds -wal into the file and removes -wal and -shm.
 */
export async function openAlone(path: string, waitMs: number): Promise<Database.Database> {
  const database = open(path, 0);
  try {
    const isAlone = await untilFree(waitMs, () => {
      if (pragma(database, 'journal_mode') !== 'wal') return true;
      return pragma(database, 'journal_mode = DELETE') === 'delete';
    });
    if (!isAlone) throw inUse(path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

export function inUse(path: string): DropbackError {
  return new DropbackError('restore/database-in-use', `another program has ${path} open`, {
    hint: 'name every container that uses the database in RESTORE_STOP_CONTAINERS, and close shells and viewers that have it open; then drop the file again.',
    facts: { path },
  });
}
