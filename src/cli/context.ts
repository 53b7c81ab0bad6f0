import type { Manifest } from '../core/archive/manifest.ts';
import type { VerifyOutcome } from '../core/archive/verify-report.ts';
import type { CliConfig } from '../core/config/cli.ts';
import type { BackupConfig, CommonConfig, RestoreConfig } from '../core/config/config.ts';
import type { CheckResult } from '../core/engines/engine.ts';
import type { BackupStatus, FailedRun } from '../core/requests/backup-status.ts';
import type { KeptDatabase, RestoreDaemonStatus } from '../core/requests/daemon-status.ts';
import type { StorePrune } from '../core/retention/report.ts';
import type { Clock } from '../core/runtime/clock.ts';
import type { Catalogue } from '../core/stores/catalogue.ts';
import type { Terminal } from './terminal.ts';

/** What every command gets. */
export interface CliContext {
  readonly config: CliConfig;
  readonly operations: Operations;
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** What the process exits with when the command returns; 0 until set. */
  readonly setExitCode: (code: number) => void;
}

/** What the daemons can do, handed in by the entry point: the CLI knows neither of them. */
export interface Operations {
  backupOnce(
    config: BackupConfig,
    signal: AbortSignal,
    onProgress: (message: string) => void,
  ): Promise<Manifest>;
  catalogue(config: CommonConfig): Promise<Catalogue>;
  checkBackup(config: BackupConfig, signal: AbortSignal): Promise<CheckResult[]>;
  checkRestore(config: RestoreConfig, signal: AbortSignal): Promise<CheckResult[]>;
  verify(config: BackupConfig, request: VerifyRequest, signal: AbortSignal): Promise<VerifyOutcome>;
  /** Retention now; `dryRun` plans alone. */
  prune(config: BackupConfig, dryRun: boolean, signal: AbortSignal): Promise<StorePrune[]>;
  backupStatus(config: BackupConfig, signal: AbortSignal): Promise<KnownStatus>;
  /** Throws `request/no-daemon` where db-restore has never been. */
  restoreStatus(config: RestoreConfig, signal: AbortSignal): Promise<KnownRestoreStatus>;
  listPrevious(config: RestoreConfig, signal: AbortSignal): Promise<readonly KeptDatabase[]>;
}

export interface VerifyRequest {
  readonly selection: 'latest' | 'all' | { readonly id: string };
  /** Also restore into a scratch database. */
  readonly restore: boolean;
  readonly store?: 'local' | 's3';
  readonly onProgress: (message: string) => void;
}

/** What db-backup says of itself, or what it has left behind. */
export interface KnownStatus {
  readonly status?: BackupStatus;
  /** Of the daemon's runs and of those by hand. */
  readonly lastFailure?: FailedRun;
  /** It has just answered. */
  readonly isAlive: boolean;
}

/** What db-restore says of itself, or what it wrote last. */
export interface KnownRestoreStatus {
  readonly status: RestoreDaemonStatus;
  /** It has just answered. */
  readonly isAlive: boolean;
}
