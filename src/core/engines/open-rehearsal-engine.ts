import type { BackupConfig } from '../config/config.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { RehearsalEngine } from './engine.ts';

export interface RehearsalEngineParts {
  /** For what rehearsals leave on our own volume. */
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The engine of this kind of database; only its own code is loaded. */
export async function openRehearsalEngine(
  { database, name, jobs, verify }: BackupConfig,
  { folder, ...shared }: RehearsalEngineParts,
): Promise<RehearsalEngine> {
  if (database.kind === 'sqlite') {
    const { SqliteRehearsalEngine } = await import('./sqlite/rehearsal/engine.ts');
    return new SqliteRehearsalEngine(folder);
  }
  const { PostgresRehearsalEngine } = await import('./postgres/rehearsal/engine.ts');
  if (verify.connection) {
    const { connection } = verify;
    return new PostgresRehearsalEngine({ connection, name, jobs, ...shared });
  }
  // Beside the live database: one worker, unless more were asked for.
  const connection = { ...database.connection, database: database.maintenanceDatabase };
  return new PostgresRehearsalEngine({ connection, name, jobs: jobs ?? 1, ...shared });
}
