import { constants, DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../../../runtime/errors.ts';
import type { Operations, QueryAnswer } from '../protocol.ts';
import { harden } from './connection.ts';

/** Asks a file that nobody writes to; nothing in it can be changed, and nothing else is reached. */
export async function ask({ path, queries }: Operations['ask']['request']): Promise<QueryAnswer[]> {
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1');
  const database = new DatabaseSync(url, { readOnly: true, allowExtension: false });
  try {
    harden(database);
    const { SQLITE_ATTACH, SQLITE_DENY, SQLITE_OK } = constants;
    database.setAuthorizer((action) => (action === SQLITE_ATTACH ? SQLITE_DENY : SQLITE_OK));
    return queries.map((query) => answerOf(database, query));
  } finally {
    database.close();
  }
}

function answerOf(database: DatabaseSync, query: string): QueryAnswer {
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
    return { error: messageOf(error) };
  }
}
