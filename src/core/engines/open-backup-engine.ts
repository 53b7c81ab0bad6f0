import type { DatabaseConfig } from '../config/config.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { BackupEngine } from './engine.ts';

export interface BackupEngineParts {
  readonly clock: Clock;
  readonly log: Logger;
  /** BACKUP_JOBS; a SQLite file is copied by one. */
  readonly jobs?: number | undefined;
  /** BACKUP_AGE_RECIPIENTS; none: archives are not encrypted. */
  readonly recipients?: readonly string[];
}

/** The engine of this kind of database; only its own code is loaded. */
export async function openBackupEngine(
  database: DatabaseConfig,
  { jobs, ...shared }: BackupEngineParts,
): Promise<BackupEngine> {
  if (database.kind === 'postgres') {
    const { PostgresBackupEngine } = await import('./postgres/backup/engine.ts');
    return new PostgresBackupEngine({ database, jobs, ...shared });
  }
  const { SqliteBackupEngine } = await import('./sqlite/backup-engine.ts');
  return new SqliteBackupEngine({ database, ...shared });
}
