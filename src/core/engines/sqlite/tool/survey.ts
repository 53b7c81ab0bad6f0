import type { Survey, SurveyRequest } from '../protocol.ts';
import { open } from './connection.ts';
import { requireUsable } from './probe.ts';
import { brokenReferences, bytesOf, countRows, tableNames } from './tables.ts';

/**
 * Looks at the live database while the application works with it: each answer in its own short
 * transaction, so that in rollback-journal mode nobody waits for all of them.
 */
export async function survey(request: SurveyRequest): Promise<Survey> {
  requireUsable(request.path);
  const database = open(request.path, 5000);
  try {
    const tables = request.rows
      ? countRows(database)
      : tableNames(database).map((name) => ({ schema: 'main', name, rows: 0 }));
    const bytes = request.bytesOf.map((name) => [name, bytesOf(database, name)] as const);
    return {
      tables,
      bytes: Object.fromEntries(bytes),
      foreignKeys: request.foreignKeys ? brokenReferences(database) : [],
    };
  } finally {
    database.close();
  }
}
