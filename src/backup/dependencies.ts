import type { BackupConfig } from '../core/config/config.ts';
import type { BackupEngine } from '../core/engines/engine.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { S3Store } from '../core/stores/s3/store.ts';
import type { AlertDependencies } from './backup-alerts.ts';
import type { RunDependencies } from './run.ts';
import type { Verifier } from './verify/verifier.ts';

/** What one database's backups are made of, whether by the daemon or once. */
export interface BackupDependencies extends AlertDependencies {
  readonly config: BackupConfig;
  readonly engine: BackupEngine;
  readonly local: LocalStore;
  readonly remote?: S3Store;
  readonly startEarlyUpload?: NonNullable<RunDependencies['startEarlyUpload']>;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where several databases are backed up, uploaded and rehearsed: not all at once. */
  readonly turns?: BackupTurns;
  readonly version: string;
}

export interface BackupTurns {
  readonly dumps: Turnstile;
  readonly rehearsals: Turnstile;
  /** Whatever asks the remote store: uploads, its sweep at the start, retention there. */
  readonly uploads: Turnstile;
}
