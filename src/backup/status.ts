import type { ErrorReport } from '../core/runtime/errors.ts';

/** What the backup daemon is doing and how its database stands; JSON, without secrets. */
export interface BackupStatus {
  readonly database: string;
  readonly state: 'waiting for the database' | 'idle' | 'running';
  readonly startedAt: string;
  readonly nextRunAt?: string;
  readonly lastGood?: { readonly id: string; readonly createdAt: string; readonly bytes: number };
  readonly lastFailure?: { readonly at: string; readonly error: ErrorReport };
  readonly failuresSinceGood: number;
  /** Backups that are listed locally and not yet in the remote store. */
  readonly uploadBacklog: number;
  readonly lastUploadError?: ErrorReport;
  /** ISO 8601: without a newer good backup by then, it is unhealthy. */
  readonly overdueAfter: string;
}
