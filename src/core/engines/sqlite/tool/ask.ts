import { constants, DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../../../runtime/errors.ts';
import type { Operations, QueryAnswer } from '../protocol.ts';
import { harden } from './connection.ts';
import { requireReadable } from './read-whole.ts';
import { isMachinesFault, sqliteCode } from './sqlite-errors.ts';

/**
 * Asks a file that nobody writes to; nothing in it can be changed, and nothing else is reached. What
 * the machine fails at is thrown: it is no answer.
 */
export async function ask({ path, queries }: Operations['ask']['request']): Promise<QueryAnswer[]> {
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1');
  const database = new DatabaseSync(url, { readOnly: true, allowExtension: false });
  try {
    harden(database);
    const { SQLITE_ATTACH, SQLITE_DENY, SQLITE_OK } = constants;
    database.setAuthorizer((action) => (action === SQLITE_ATTACH ? SQLITE_DENY : SQLITE_OK));
    return queries.map((query) => answerOf(database, path, query));
  } finally {
    database.close();
  }
}

function answerOf(database: DatabaseSync, path: string, query: string): QueryAnswer {
  try {
    let rows = 0;
    let value: string | number | null = null;
    for (const row of database.prepare(query).iterate()) {
      rows += 1;
      const [first = null] = Object.values(row);
      value = typeof first === 'number' || first === null ? first : String(first);
      if (rows > 1) break;
    }
    return { rows, value };
  } catch (error) {
    if (isMachinesFault(error)) throw error;
    if (sqliteCode(error) === 'SQLITE_CORRUPT') requireReadable(path);
    return { error: messageOf(error) };
  }
}
