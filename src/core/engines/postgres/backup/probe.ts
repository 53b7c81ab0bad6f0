import type { PostgresDatabase } from '../../../config/config.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type { DatabaseInfo } from '../../engine.ts';
import { connect } from '../connection.ts';
import { readDatabaseSize } from '../server-info.ts';

/** One look at the database; where the server has none of that name, at the server. */
export async function probeDatabase(
  { connection, maintenanceDatabase }: PostgresDatabase,
  signal: AbortSignal,
): Promise<DatabaseInfo> {
  const applicationName = 'dropback probe';
  try {
    await using session = await connect(connection, { applicationName, signal });
    const sizeBytes = await readDatabaseSize(session, connection.database);
    return { version: session.version, exists: true, sizeBytes };
  } catch (error) {
    if (!(error instanceof DropbackError && error.code === 'database/missing')) throw error;
  }
  const database = maintenanceDatabase;
  await using session = await connect(connection, { database, applicationName, signal });
  return { version: session.version, exists: false, sizeBytes: 0 };
}
