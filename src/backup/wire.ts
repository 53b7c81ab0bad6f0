import type { Alerting, SharedAlerts } from '../core/alerts/open-alerts.ts';
import type { BackupConfig } from '../core/config/config.ts';
import { dropbackVersion } from '../core/config/version.ts';
import { recipientChecks } from '../core/encryption/encryption-checks.ts';
import type { CheckResult, RehearsalEngine } from '../core/engines/engine.ts';
import { openBackupEngine } from '../core/engines/open-backup-engine.ts';
import { openRehearsalEngine } from '../core/engines/open-rehearsal-engine.ts';
import type { Logger } from '../core/observability/log.ts';
import type { LogTail } from '../core/observability/log-tail.ts';
import { ownFolder } from '../core/requests/backup-status.ts';
import { Doubts } from '../core/requests/doubts.ts';
import type { StorePrune } from '../core/retention/report.ts';
import { systemClock } from '../core/runtime/clock.ts';
import type { RateLimit } from '../core/runtime/rate-limit.ts';
import { Catalogue } from '../core/stores/catalogue.ts';
import { openStores, type Stores } from '../core/stores/open-stores.ts';
import { BackupDaemon } from './daemon.ts';
import type { BackupTurns } from './dependencies.ts';
import { earlyUploads } from './early-upload.ts';
import { SingleBackup } from './once.ts';
import { placeChecks } from './place-checks.ts';
import { pruneOnDemand } from './prune.ts';
import { openTelling } from './telling.ts';
import { Rehearsals } from './verify/rehearsal.ts';
import { Verifier } from './verify/verifier.ts';

export interface WiredBackup extends AsyncDisposable {
  readonly daemon: BackupDaemon;
  readonly single: SingleBackup;
  readonly verifier: Verifier;
  /** Undefined where nobody is told: the command line's caller sees for himself. */
  readonly alerting: Alerting | undefined;
  /** Retention now, under the database's lock; `dryRun` plans alone, and takes none. */
  prune(dryRun: boolean, signal: AbortSignal): Promise<StorePrune[]>;
  /** Whether another db-backup writes to the remote store under this name: all manifests there are read. */
  placeCheck(signal: AbortSignal): Promise<CheckResult[]>;
  /** What db-backup needs, by real calls. */
  checks(signal: AbortSignal): Promise<CheckResult[]>;
}

/** What several databases' daemons share in one process. */
export interface SharedBackups {
  readonly turns: BackupTurns;
  /** S3_UPLOAD_LIMIT is all databases' together. */
  readonly uploadLimit?: RateLimit;
  readonly alerts: SharedAlerts;
}

/** A backup or restore that runs may take longer: then somebody is told to come back. */
const PRUNE_WAIT_MS = 60_000;

/** The one place where db-backup's parts are put together. `logTail`: for the daemon, which tells. */
export async function wireBackup(
  config: BackupConfig,
  log: Logger,
  logTail?: LogTail,
  shared?: SharedBackups,
): Promise<WiredBackup> {
  const clock = systemClock;
  const engine = await openBackupEngine(config.database, {
    clock,
    log,
    jobs: config.jobs,
    recipients: config.ageRecipients,
  });
  const { local, remote } = await openStores(config, {
    ...{ log, clock, readOnly: false },
    ...(shared?.uploadLimit ? { uploadLimit: shared.uploadLimit } : {}),
  });
  const upload = remote ? { remote, startEarlyUpload: earlyUploads(local, remote, clock) } : {};
  const folder = ownFolder(config.backupDir, config.name);
  const rehearsal = await openRehearsalEngine(config, { folder, clock, log });
  const verifier = wireVerifier(
    config,
    { local, ...(remote ? { remote } : {}) },
    rehearsal,
    folder,
    log,
  );
  const telling =
    logTail &&
    (await openTelling(config, engine.description, {
      clock,
      log,
      logTail,
      ...(shared ? { shared: shared.alerts } : {}),
    }));
  const parts = {
    config,
    engine,
    local,
    clock,
    log,
    version: dropbackVersion,
    verifier,
    ...upload,
    ...telling?.parts,
    ...(shared ? { turns: shared.turns } : {}),
  };
  return {
    daemon: new BackupDaemon(parts),
    single: new SingleBackup(parts),
    verifier,
    alerting: telling?.alerting,
    async prune(dryRun, signal) {
      if (dryRun) return await pruneOnDemand(parts, true, signal);
      await using lock = await engine.lock({ purpose: 'backup', waitMs: PRUNE_WAIT_MS }, signal);
      return await pruneOnDemand(parts, false, AbortSignal.any([signal, lock.lost]));
    },
    async placeCheck(signal) {
      return placeChecks(await pruneOnDemand(parts, true, signal));
    },
    async checks(signal) {
      const found = await Promise.all([
        engine.checks(signal),
        recipientChecks(config.ageRecipients, signal),
        local.checks(signal),
        remote?.checks(signal) ?? [],
        config.verify.mode === 'restore' ? rehearsal.checks(signal) : [],
      ]);
      return found.flat();
    },
    async [Symbol.asyncDispose]() {
      await telling?.[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
      await rehearsal[Symbol.asyncDispose]();
      await remote?.[Symbol.asyncDispose]();
    },
  };
}

/** Archive and rehearsal checks of one database's backups. */
function wireVerifier(
  config: BackupConfig,
  { local, remote }: Stores,
  engine: RehearsalEngine,
  folder: string,
  log: Logger,
): Verifier {
  const clock = systemClock;
  const { queries } = config.verify;
  const { name, timeoutMs } = config;
  return new Verifier({
    name,
    local,
    ...(remote ? { remote } : {}),
    catalogue: new Catalogue(local, remote, clock),
    rehearsals: new Rehearsals({ engine, local, folder, queries, timeoutMs, log }),
    doubts: new Doubts(folder, local),
    clock,
    log,
  });
}
