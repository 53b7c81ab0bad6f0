import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAhead } from '../archive/newest.ts';
import type { Verification } from '../archive/state-file.ts';
import type { ErrorReport } from '../runtime/errors.ts';
import { askStatus } from './ask-status.ts';

/**
 * What the backup daemon is doing and how its database stands; JSON, without secrets. Served as
 * `/status`, and kept in `status.json` so that it outlives the daemon.
 */
export interface BackupStatus {
  readonly program: 'db-backup';
  /** BACKUP_NAME. */
  readonly name: string;
  readonly database: string;
  readonly state: 'waiting for the database' | 'idle' | 'waiting for its turn' | 'running';
  readonly startedAt: string;
  readonly nextRunAt?: string;
  readonly lastGood?: { readonly id: string; readonly createdAt: string; readonly bytes: number };
  /** Stays after a good run, which is how one can tell what was wrong. */
  readonly lastFailure?: FailedRun;
  readonly failuresSinceGood: number;
  /** Backups that are listed locally and not yet in the remote store. */
  readonly uploadBacklog: number;
  /** When the oldest of them was made; ISO 8601. */
  readonly oldestNotUploaded?: string;
  readonly lastUploadError?: ErrorReport;
  /** Why nobody can see whether the newest uploaded copy is still there. */
  readonly copiesUnseen?: ErrorReport;
  /** Where another db-backup puts backups of the same name too. */
  readonly sharedPlace?: string;
  readonly verification?: VerificationStatus;
  /** Backups that are listed and were found bad, or could not be read, whoever verified them. */
  readonly inDoubt?: readonly RehearsedBackup[];
  /** ISO 8601: without a newer good backup by then, it is unhealthy. */
  readonly overdueAfter: string;
}

export interface FailedRun {
  readonly at: string;
  readonly error: ErrorReport;
  /** Id of a backup that was made since, whatever the clock said in between. */
  readonly resolvedBy?: string;
}

/** Rehearsals (BACKUP_VERIFY=restore). */
export interface VerificationStatus {
  readonly state: 'idle' | 'waiting for its turn' | 'running';
  /** The latest that went well. */
  readonly lastGood?: RehearsedBackup;
  /** The latest of all, where that was another one. */
  readonly lastProblem?: RehearsedBackup;
  /** ISO 8601; absent: after the next backup. */
  readonly nextAt?: string;
}

export type RehearsedBackup = Verification & { readonly id: string };

/** With state of our own, beside the backups: `<BACKUP_DIR>/.dropback/<name>`. */
export function ownFolder(backupDir: string, name: string): string {
  // No BACKUP_NAME begins with a dot.
  return join(backupDir, '.dropback', name);
}

export const BACKUP_STATUS_FILE = 'status.json';

/** Undefined where no daemon has written one that can be read. */
export async function readBackupStatus(folder: string): Promise<BackupStatus | undefined> {
  try {
    return asBackupStatus(JSON.parse(await readFile(join(folder, BACKUP_STATUS_FILE), 'utf8')));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** What the daemon on this machine says of a database; undefined where none answers at that port. */
export async function askBackupStatus(
  { healthPort, name }: { readonly healthPort: number; readonly name: string },
  signal: AbortSignal,
): Promise<BackupStatus | undefined> {
  const status = asBackupStatus(await askStatus({ healthPort, name }, signal));
  return status?.name === name ? status : undefined;
}

/** The value, if it is what db-backup tells and not something else's answer. */
export function asBackupStatus(value: unknown): BackupStatus | undefined {
  const { program, database, overdueAfter } = (value ?? {}) as Partial<BackupStatus>;
  const isOurs =
    program === 'db-backup' && typeof database === 'string' && typeof overdueAfter === 'string';
  return isOurs ? (value as BackupStatus) : undefined;
}

export type BackupHealth = 'healthy' | 'degraded' | 'unhealthy';

/**
 * Unhealthy when a backup is overdue, the newest one is in doubt, or one was found not to restore and
 * none has restored since; a run that failed with no good one after it, a backlog of uploads that fail or don't keep up, older
 * backups in doubt, rehearsals that can't be carried out, copies that can't be seen, or another db-backup in the same place, are `degraded`.
 */
export function backupHealth(status: BackupStatus, now: Date): BackupHealth {
  const problem = status.verification?.lastProblem;
  if (now.getTime() > Date.parse(status.overdueAfter)) return 'unhealthy';
  if (problem?.status === 'failed') return 'unhealthy';
  const inDoubt = status.inDoubt ?? [];
  if (inDoubt.some(({ id }) => id === status.lastGood?.id)) return 'unhealthy';
  const isBehind =
    (status.uploadBacklog > 0 && status.lastUploadError !== undefined) ||
    uploadsLagBehind(status, now);
  const hasFailed = lastRunFailed(status.lastFailure, status.lastGood?.createdAt, now);
  const isOdd = status.sharedPlace !== undefined || status.copiesUnseen !== undefined;
  const needsALook = hasFailed || isBehind || problem || inDoubt.length > 0 || isOdd;
  return needsALook ? 'degraded' : 'healthy';
}

const LAG_MS = 86_400_000;

/** Several wait, and the oldest of them for more than a day, whether or not an upload fails. */
export function uploadsLagBehind(
  { uploadBacklog, oldestNotUploaded }: BackupStatus,
  now: Date,
): boolean {
  // One alone may be on its way: a large one takes its time.
  if (uploadBacklog < 2 || oldestNotUploaded === undefined) return false;
  return now.getTime() - Date.parse(oldestNotUploaded) > LAG_MS;
}

/**
 * A failed run with no good backup after it: then nothing is removed. The run that makes one says so in
 * its note; times are compared for one that couldn't, and prove nothing where they are ahead of the clock.
 */
export function lastRunFailed(
  failure: FailedRun | undefined,
  newestCreatedAt: string | undefined,
  now: Date,
): boolean {
  if (!failure || failure.resolvedBy !== undefined) return false;
  if (newestCreatedAt === undefined || isAhead(new Date(newestCreatedAt), now)) return true;
  return Date.parse(failure.at) > Date.parse(newestCreatedAt);
}
