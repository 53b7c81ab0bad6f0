import { chmodSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '../../../runtime/errors.ts';
import type { PrepareRequest } from '../protocol.ts';
import { harden, pragma } from './connection.ts';
import { syncFile, syncFolder } from './files.ts';
import { needsApplication } from './sqlite-errors.ts';

/**
 * Makes a copied file ready to take the live one's place: one self-contained file in
 * rollback-journal mode, with the live file's page size and mode bits, durable.
 */
export async function prepare(
  request: PrepareRequest,
): Promise<{ warnings: string[]; bytes: number }> {
  const warnings: string[] = [];
  const database = new DatabaseSync(request.path, { enableDoubleQuotedStringLiterals: true });
  try {
    harden(database);
    database.exec('PRAGMA journal_mode = DELETE');
    const wanted = request.pageSize;
    if (wanted && wanted !== pragma(database, 'page_size')) {
      warnings.push(...changePageSize(database, wanted));
    }
  } finally {
    database.close();
  }
  chmodSync(request.path, request.mode);
  syncFile(request.path);
  syncFolder(dirname(request.path));
  return { warnings, bytes: statSync(request.path).size };
}

function changePageSize(database: DatabaseSync, pageSize: number): string[] {
  try {
    database.exec(`PRAGMA page_size = ${Math.trunc(pageSize)}; VACUUM`);
    return [];
  } catch (error) {
    if (!needsApplication(error)) throw error;
    return [`the page size stays as it is in the dump: ${messageOf(error)}`];
  }
}
