import { closeSync, openSync, readSync } from 'node:fs';

const PIECE_BYTES = 1024 * 1024;

/**
 * Throws the system's error where a file can't be read to its end. SQLite says that the database is
 * malformed where the disk says EIO: before anything is called damaged, the disk is asked.
 */
export function requireReadable(path: string): void {
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  const file = openSync(path, 'r');
  try {
    while (readSync(file, buffer, 0, buffer.length, null) > 0);
  } finally {
    closeSync(file);
  }
}
