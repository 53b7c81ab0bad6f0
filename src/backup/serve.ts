import { withAlerts } from '../core/alerts/in-health.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { HealthReport } from '../core/observability/health-server.ts';
import type { Logger } from '../core/observability/log.ts';
import { startHealth } from '../core/observability/start-health.ts';
import { tellChecks } from '../core/observability/tell-checks.ts';
import { type BackupStatus, backupHealth } from '../core/requests/backup-status.ts';
import { isAbort } from '../core/runtime/errors.ts';
import { giveMemoryBack } from '../core/runtime/give-memory-back.ts';
import type { WiredBackup } from './wire.ts';

/** db-backup from start to SIGTERM. */
export async function serveBackup(
  wired: WiredBackup,
  config: BackupConfig,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { daemon } = wired;
  const health = () => healthOf(daemon.status(), new Date());
  await using _health = await startHealth(config.healthPort, log, () =>
    wired.alerting ? withAlerts(health(), wired.alerting) : health(),
  );
  log.info({ name: config.name, database: daemon.status().database }, 'db-backup started');
  try {
    tellChecks(await wired.checks(signal), log);
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
  giveMemoryBack();
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
