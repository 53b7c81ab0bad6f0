import { closeSync, openSync, readSync } from 'node:fs';
import type { JournalMode } from '../protocol.ts';

export const MAGIC = 'SQLite format 3\0';

/** The fixed fields of https://sqlite.org/fileformat2.html#the_database_header that we rely on. */
export interface Header {
  readonly isSqlite: boolean;
  readonly pageSize: number;
  /** Zero where the field is not valid (written by a library older than 3.7.0). */
  readonly pages: number;
  readonly journalMode: JournalMode;
  readonly changeCounter: number;
}

/**
 * Reads the header without SQLite. Never call it on a file on which this process holds SQLite
 * locks: closing any descriptor of a file drops all POSIX locks that the process has on it.
 */
export function readHeader(path: string): Header {
  const descriptor = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(100);
    const length = readSync(descriptor, bytes, 0, 100, 0);
    return parseHeader(bytes.subarray(0, length));
  } finally {
    closeSync(descriptor);
  }
}

export function parseHeader(bytes: Buffer): Header {
  const isSqlite = bytes.length === 100 && bytes.toString('latin1', 0, 16) === MAGIC;
  if (!isSqlite) {
    return { isSqlite, pageSize: 0, pages: 0, journalMode: 'rollback', changeCounter: 0 };
  }
  const size = bytes.readUInt16BE(16);
  const changeCounter = bytes.readUInt32BE(24);
  return {
    isSqlite,
    pageSize: size === 1 ? 65536 : size,
    pages: changeCounter === bytes.readUInt32BE(92) ? bytes.readUInt32BE(28) : 0,
    journalMode: bytes[18] === 2 && bytes[19] === 2 ? 'wal' : 'rollback',
    changeCounter,
  };
}
