import { FloodGates } from '../core/alerts/flood.ts';
import { hasChannel, tellNobodyToTell } from '../core/alerts/open-alerts.ts';
import { AlertRelay } from '../core/alerts/relay.ts';
import { RelayDesk } from '../core/alerts/relay-desk.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { Databases } from '../core/config/databases.ts';
import { tellSameDatabases } from '../core/engines/same-database.ts';
import { createLogger, type Logger } from '../core/observability/log.ts';
import { LogTail } from '../core/observability/log-tail.ts';
import { startHealth } from '../core/observability/start-health.ts';
import { type Member, Supervisor } from '../core/observability/supervisor.ts';
import { systemClock } from '../core/runtime/clock.ts';
import { DropbackError, errorReport, throwIfAborted } from '../core/runtime/errors.ts';
import { RateLimit } from '../core/runtime/rate-limit.ts';
import { Turnstile } from '../core/runtime/turnstile.ts';
import { backupReport, runBackup } from './serve.ts';
import { type SharedBackups, wireBackup } from './wire.ts';

/** A dump that takes longer no longer keeps the others waiting. */
const LAPSE_MS = 3_600_000;
/** So many databases are uploaded at the same time; who takes longer keeps nobody waiting. */
const UPLOADED_AT_ONCE = 4;
const UPLOAD_LAPSE_MS = 600_000;
/** So many databases are checked at the same time when the daemon starts, each for so long. */
const CHECKED_AT_ONCE = 4;
const CHECK_LAPSE_MS = 15_000;

/** db-backup for the databases of DATABASES_FILE, from start to SIGTERM. */
export async function serveBackups(
  { all, warnings }: Databases<BackupConfig>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (const warning of warnings) log.warn(warning);
  const [{ healthPort, atOnce, alerts }] = all;
  const turns = {
    dumps: new Turnstile(atOnce, LAPSE_MS, systemClock),
    rehearsals: new Turnstile(atOnce, LAPSE_MS, systemClock),
    uploads: new Turnstile(UPLOADED_AT_ONCE, UPLOAD_LAPSE_MS, systemClock),
  };
  const desk = new RelayDesk(all.filter((one) => hasChannel(one.alerts)).map(({ name }) => name));
  const most = all.find(({ s3 }) => s3?.uploadBytesPerSecond !== undefined)?.s3
    ?.uploadBytesPerSecond;
  const shared = {
    turns,
    alerts: { floods: new FloodGates(), desk },
    ...(most === undefined ? {} : { uploadLimit: new RateLimit(most, systemClock) }),
  };
  const checks = new Turnstile(CHECKED_AT_ONCE, CHECK_LAPSE_MS, systemClock);
  const members = all.map((config) => memberOf(config, shared, checks));
  const supervisor = new Supervisor('db-backup', members, systemClock);
  await using _health = await startHealth(
    healthPort,
    log,
    () => supervisor.report(),
    (name) => supervisor.reportOf(name),
  );
  log.info({ databases: all.map(({ name }) => name) }, 'db-backup started for several databases');
  await Promise.all([
    supervisor.run(signal),
    tellSameDatabases(all, { clock: systemClock, log }, signal),
    alerts.relayUrl && handOnAlerts(alerts.relayUrl, desk, log, signal),
  ]);
}

/** One of them all fetches the other daemon's alerts, or each would hand them on. */
async function handOnAlerts(
  url: string,
  desk: RelayDesk,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  if (desk.isEmpty) return tellNobodyToTell(log);
  await new AlertRelay(url, desk, { clock: systemClock, log }).run(signal);
}

function memberOf(config: BackupConfig, shared: SharedBackups, checks: Turnstile): Member {
  const { name } = config;
  const tail = new LogTail();
  const log = createLogger({ ...config.log, program: 'db-backup', db: name, tail });
  return {
    name,
    log,
    async serve(signal, tell) {
      await using wired = await wireBackup(config, log, tail, shared);
      tell(() => backupReport(wired));
      await runBackup(wired, config, log, signal, checks);
    },
  };
}

/** One backup of each, one after the other; throws when any of them failed. */
export async function backupEachOnce(
  { all, warnings }: Databases<BackupConfig>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (const warning of warnings) log.warn(warning);
  const failed: string[] = [];
  for (const config of all) {
    throwIfAborted(signal);
    const tail = new LogTail();
    const own = createLogger({ ...config.log, program: 'db-backup', db: config.name, tail });
    try {
      await using wired = await wireBackup(config, own, tail);
      await wired.single.execute(signal);
    } catch (error) {
      throwIfAborted(signal);
      own.error({ error: errorReport(error) }, 'backup failed');
      failed.push(config.name);
    }
  }
  if (failed.length === 0) return;
  throw new DropbackError('backup/some-failed', `no good backup of: ${failed.join(', ')}`, {
    hint: 'the log says of each why; the other databases were backed up.',
  });
}
