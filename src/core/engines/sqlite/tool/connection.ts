import Database from 'better-sqlite3';
import { isBusy } from './sqlite-errors.ts';

/** What both SQLite libraries have in common; all that the reading code needs. */
export interface Connection {
  prepare(sql: string): {
    all(...values: unknown[]): unknown[];
    get(...values: unknown[]): unknown;
    iterate(...values: unknown[]): Iterable<unknown>;
  };
}

/** Opens an existing database file of ours: the live one, a copy, a staged one. */
export function open(path: string, busyMs: number, readonly = false): Database.Database {
  const database = new Database(path, { fileMustExist: true, timeout: busyMs, readonly });
  try {
    harden(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A file's schema may run nothing that reaches outside it, and damage is looked for. */
export function harden(connection: { exec(sql: string): unknown }): void {
  connection.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0');
}

export function pragma(connection: Connection, name: string): string | number {
  const row = connection.prepare(`PRAGMA ${name}`).get() as Record<string, string | number>;
  return Object.values(row ?? {})[0] ?? 0;
}

/** Tries every 100 ms while the database is busy; false when it still is after `waitMs`. */
export async function untilFree(waitMs: number, attempt: () => boolean): Promise<boolean> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    try {
      if (attempt()) return true;
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Identifiers go into SQL only through here. */
export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}
