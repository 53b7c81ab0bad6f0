import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import type { ContentFacts } from '../protocol.ts';
import { harden, pragma } from './connection.ts';
import { readHeader } from './header.ts';
import { checkIntegrity } from './integrity.ts';
import { requireReadable } from './read-whole.ts';
import { notSqlite } from './sqlite-errors.ts';
import { brokenReferences, countRows } from './tables.ts';

/**
 * Reads a whole file that nobody writes to. `immutable` keeps SQLite from creating anything beside
 * it and from applying a journal that lies there; nothing of the file's schema is trusted.
 */
export function contentFacts(path: string): ContentFacts {
  const { size } = statSync(path);
  const header = readHeader(path);
  if (!header.isSqlite) throw notSqlite();
  const damage = sizeDamage(size, header.pageSize, header.pages);
  if (damage.length > 0) {
    return { ...NOTHING, bytes: size, pageSize: header.pageSize, damage };
  }
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1');
  const database = new DatabaseSync(url, {
    readOnly: true,
    enableDoubleQuotedStringLiterals: true,
  });
  try {
    harden(database);
    const integrity = checkIntegrity(database);
    const isSound = integrity.damage.length === 0;
    if (!isSound) requireReadable(path);
    return {
      bytes: size,
      pageSize: header.pageSize,
      journalMode: header.journalMode,
      encoding: String(pragma(database, 'encoding')),
      userVersion: Number(pragma(database, 'user_version')),
      applicationId: Number(pragma(database, 'application_id')),
      tables: isSound ? countRows(database) : [],
      foreignKeys: isSound ? brokenReferences(database) : [],
      ...integrity,
    };
  } finally {
    database.close();
  }
}

const NOTHING: ContentFacts = {
  bytes: 0,
  pageSize: 0,
  journalMode: 'rollback',
  encoding: '',
  userVersion: 0,
  applicationId: 0,
  tables: [],
  damage: [],
  oddities: [],
  notChecked: [],
  foreignKeys: [],
};

/** integrity_check is content with a file that is shorter than its header says. */
function sizeDamage(size: number, pageSize: number, pages: number): string[] {
  if (pageSize < 512 || (pageSize & (pageSize - 1)) !== 0) return ['the page size is not valid'];
  if (pages > 0 && size < pages * pageSize) {
    return [`truncated: ${pages} pages of ${pageSize} bytes, but only ${size} bytes`];
  }
  if (size % pageSize !== 0) return [`truncated: ${size} bytes are no whole number of pages`];
  if (pages > 0 && size > pages * pageSize) {
    return [`${size - pages * pageSize} bytes more than the header's ${pages} pages`];
  }
  return [];
}
