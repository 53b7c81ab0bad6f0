import { join } from 'node:path';
import { type Alerting, openAlerts, type SharedAlerts } from '../core/alerts/open-alerts.ts';
import { Pings } from '../core/alerts/pings.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { Logger } from '../core/observability/log.ts';
import type { LogTail } from '../core/observability/log-tail.ts';
import { ownFolder } from '../core/requests/backup-status.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { Redactor } from '../core/runtime/redact.ts';
import type { AlertDependencies } from './backup-alerts.ts';

/** The ways from db-backup to people. */
export interface Telling extends AsyncDisposable {
  readonly alerting: Alerting;
  readonly parts: Pick<AlertDependencies, 'alerts' | 'pings' | 'logTail'>;
}

/** What the last ping may take when the daemon ends. Milliseconds. */
const LAST_PING_MS = 5000;

export async function openTelling(
  config: BackupConfig,
  database: string,
  options: {
    readonly clock: Clock;
    readonly log: Logger;
    readonly logTail: LogTail;
    readonly shared?: SharedAlerts;
  },
): Promise<Telling> {
  const { clock, log, logTail, shared } = options;
  const { pingUrl, secrets } = config.alerts;
  const alerting = openAlerts(config.alerts, {
    file: join(ownFolder(config.backupDir, config.name), 'alerts.json'),
    source: { program: 'db-backup', name: config.name, database },
    clock,
    log,
    ...(shared ? { shared } : {}),
  });
  await alerting.begin();
  const pings =
    pingUrl === undefined ? undefined : new Pings(pingUrl, Redactor.of(secrets), { clock, log });
  return {
    alerting,
    parts: { alerts: alerting.alerts, logTail, ...(pings ? { pings } : {}) },
    async [Symbol.asyncDispose]() {
      await Promise.all([
        alerting[Symbol.asyncDispose](),
        pings?.settle(AbortSignal.timeout(LAST_PING_MS)),
      ]);
    },
  };
}
