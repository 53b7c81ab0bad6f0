import type { DatabaseConfig } from '../config/config.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { BackupEngine } from './engine.ts';

/** The engine of this kind of database; only its own code is loaded. */
export async function openBackupEngine(
  database: DatabaseConfig,
  shared: { readonly clock: Clock; readonly log: Logger },
): Promise<BackupEngine> {
  if (database.kind === 'postgres') {
    const { PostgresBackupEngine } = await import('./postgres/backup/engine.ts');
    return new PostgresBackupEngine({ database, ...shared });
  }
  const { SqliteBackupEngine } = await import('./sqlite/backup-engine.ts');
  return new SqliteBackupEngine({ database, ...shared });
}
