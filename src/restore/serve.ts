import { withAlerts } from '../core/alerts/in-health.ts';
import type { RestoreConfig } from '../core/config/config.ts';
import type { HealthReport } from '../core/observability/health-server.ts';
import type { Logger } from '../core/observability/log.ts';
import { startHealth } from '../core/observability/start-health.ts';
import { tellChecks } from '../core/observability/tell-checks.ts';
import { isRestoreLive, type RestoreDaemonStatus } from '../core/requests/daemon-status.ts';
import { errorReport, isAbort } from '../core/runtime/errors.ts';
import { giveStartBack } from '../core/runtime/give-memory-back.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import { refuseUnfinished } from './drop-folder/from-one-to-several.ts';
import type { WiredRestore } from './wire.ts';

/** db-restore for one database, from start to SIGTERM. */
export async function serveRestore(
  wired: WiredRestore,
  config: RestoreConfig,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (const warning of config.warnings) log.warn(warning);
  await refuseUnfinished(config.stateFile);
  await using _health = await startHealth(config.healthPort, log, () => restoreReport(wired));
  await runRestore(wired, config, log, signal);
}

export function restoreReport({ daemon, alerting }: WiredRestore): HealthReport {
  const health = healthOf(daemon.status());
  return alerting ? withAlerts(health, alerting) : health;
}

/** Until the signal fires. `checksTurn`: of several databases not all are checked at once. */
export async function runRestore(
  { daemon, checks }: WiredRestore,
  config: RestoreConfig,
  log: Logger,
  signal: AbortSignal,
  checksTurn?: Turnstile,
): Promise<void> {
  log.info({ name: config.name }, 'db-restore started');
  // Beside the daemon, never before it: what has to be brought back comes first.
  const checking = checksTurn ? checksTurn.pass(() => checks(signal), signal) : checks(signal);
  const telling = checking.then(
    (found) => {
      tellChecks(found, log);
      if (!checksTurn) giveStartBack();
    },
    (error: unknown) => {
      if (!isAbort(error)) log.error({ error }, 'the checks at start failed');
    },
  );
  try {
    await daemon.run(signal);
  } catch (error) {
    log.fatal({ error: errorReport(error) }, 'db-restore ends');
    throw error;
  } finally {
    await telling;
  }
  log.info('db-restore stopped');
}

const working: readonly RestoreDaemonStatus['state'][] = ['idle', 'working'];

export function healthOf(status: RestoreDaemonStatus): HealthReport {
  const { state, problems, current } = status;
  const fraction = current?.fraction === undefined ? {} : { fraction: current.fraction };
  return {
    live: isRestoreLive(status),
    ready: problems.length === 0 && working.includes(state),
    status,
    public: current ? { state: 'restoring', step: current.step, ...fraction } : { state: 'idle' },
  };
}
