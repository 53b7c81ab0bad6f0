import { withAlerts } from '../core/alerts/in-health.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { HealthReport } from '../core/observability/health-server.ts';
import type { Logger } from '../core/observability/log.ts';
import { startHealth } from '../core/observability/start-health.ts';
import { tellChecks } from '../core/observability/tell-checks.ts';
import { type BackupStatus, backupHealth } from '../core/requests/backup-status.ts';
import { isAbort } from '../core/runtime/errors.ts';
import { giveStartBack } from '../core/runtime/give-memory-back.ts';
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

/** A check that is well when the database has answered: it needn't be asked again a moment later. */
const ANSWERED = ['postgres/reachable', 'sqlite/file'];

/** Until the signal fires. `checksTurn`: of several databases not all are checked at once. */
export async function runBackup(
  { daemon, checks }: WiredBackup,
  config: BackupConfig,
  log: Logger,
  signal: AbortSignal,
  checksTurn?: Turnstile,
): Promise<void> {
  log.info({ name: config.name, database: daemon.status().database }, 'db-backup started');
  let isUp = false;
  try {
    const checking = checksTurn ? checksTurn.pass(() => checks(signal), signal) : checks(signal);
    const found = await checking;
    tellChecks(found, log);
    isUp = found.some(({ id, status }) => status === 'ok' && ANSWERED.includes(id));
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
  if (!checksTurn) giveStartBack();
  // Asked to end before it began, it has nothing to note: a thousand of them end at once then.
  if (!signal.aborted) await daemon.serve(signal, { isUp });
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
