import type { BackupConfig } from '../core/config/config.ts';
import { dropbackVersion } from '../core/config/version.ts';
import type { CheckResult } from '../core/engines/engine.ts';
import { openBackupEngine } from '../core/engines/open-backup-engine.ts';
import type { Logger } from '../core/observability/log.ts';
import { systemClock } from '../core/runtime/clock.ts';
import { openStores } from '../core/stores/open-stores.ts';
import { BackupDaemon } from './daemon.ts';
import { earlyUploads } from './early-upload.ts';

export interface WiredBackup extends AsyncDisposable {
  readonly daemon: BackupDaemon;
  /** What db-backup needs, by real calls. */
  checks(signal: AbortSignal): Promise<CheckResult[]>;
}

/** The one place where db-backup's parts are put together. */
export async function wireBackup(config: BackupConfig, log: Logger): Promise<WiredBackup> {
  const clock = systemClock;
  const engine = await openBackupEngine(config.database, { clock, log, jobs: config.jobs });
  const { local, remote } = await openStores(config, { log, clock, readOnly: false });
  const upload = remote ? { remote, startEarlyUpload: earlyUploads(local, remote, clock) } : {};
  const parts = { config, engine, local, clock, log, version: dropbackVersion, ...upload };
  return {
    daemon: new BackupDaemon(parts),
    async checks(signal) {
      const found = await Promise.all([
        engine.checks(signal),
        local.checks(signal),
        remote?.checks(signal) ?? [],
      ]);
      return found.flat();
    },
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      await remote?.[Symbol.asyncDispose]();
    },
  };
}
