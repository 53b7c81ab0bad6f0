import { withAlerts } from '../core/alerts/in-health.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { HealthReport } from '../core/observability/health-server.ts';
import type { Logger } from '../core/observability/log.ts';
import { startHealth } from '../core/observability/start-health.ts';
import { tellChecks } from '../core/observability/tell-checks.ts';
import { type BackupStatus, backupHealth } from '../core/requests/backup-status.ts';
import { isAbort } from '../core/runtime/errors.ts';
import { giveMemoryBack } from '../core/runtime/give-memory-back.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import type { WiredBackup } from './wire.ts';

/** db-backup for one database, from start to SIGTERM. */
export async function serveBackup(
  wired: WiredBackup,
  config: BackupConfig,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  await using _health = await startHealth(config.healthPort, log, () => backupReport(wired));
  await runBackup(wired, config, log, signal);
}

export function backupReport({ daemon, alerting }: WiredBackup): HealthReport {
  const health = healthOf(daemon.status(), new Date());
  return alerting ? withAlerts(health, alerting) : health;
}

/** Until the signal fires. `checksTurn`: of several databases not all are checked at once. */
export async function runBackup(
  { daemon, checks }: WiredBackup,
  config: BackupConfig,
  log: Logger,
  signal: AbortSignal,
  checksTurn?: Turnstile,
): Promise<void> {
  log.info({ name: config.name, database: daemon.status().database }, 'db-backup started');
  try {
    const checking = checksTurn ? checksTurn.pass(() => checks(signal), signal) : checks(signal);
    tellChecks(await checking, log);
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
  if (!checksTurn) giveMemoryBack();
  await daemon.serve(signal);
  log.info('db-backup stopped');
}

export function healthOf(status: BackupStatus, now: Date): HealthReport {
  const health = backupHealth(status, now);
  return {
    live: health !== 'unhealthy',
    ready: status.state !== 'waiting for the database',
    status: { health, ...status },
  };
}
