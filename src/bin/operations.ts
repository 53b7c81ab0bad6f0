import type { Operations } from '../cli/context.ts';
import { restorePlace } from '../core/config/restore-places.ts';
import { createLogger } from '../core/observability/log.ts';
import { askBackupStatus, ownFolder, readBackupStatus } from '../core/requests/backup-status.ts';
import { askDaemonStatus, readDaemonStatus } from '../core/requests/daemon-status.ts';
import { readFailedRun } from '../core/requests/failed-run.ts';
import { systemClock } from '../core/runtime/clock.ts';

/** What the CLI borrows from the daemons; each is loaded only when its command is used. */
const log = createLogger({ level: 'silent', format: 'text', program: 'dropback' });

export const operations: Operations = {
  async backupOnce(config, signal, onProgress) {
    const { wireBackup } = await import('../backup/wire.ts');
    await using wired = await wireBackup(config, log);
    const progress = ({ message }: { message: string }) => onProgress(message);
    return (await wired.single.execute(signal, progress)).manifest;
  },
  async catalogue(config) {
    const { Catalogue } = await import('../core/stores/catalogue.ts');
    const { openStores } = await import('../core/stores/open-stores.ts');
    const clock = systemClock;
    const { local, remote } = await openStores(config, { log, clock, readOnly: true });
    return new Catalogue(local, remote, clock);
  },
  async checkBackup(config, signal) {
    const { wireBackup } = await import('../backup/wire.ts');
    const { alertChecks } = await import('../core/alerts/alert-checks.ts');
    await using wired = await wireBackup(config, log);
    const alerts = alertChecks(config.alerts, { pings: true }, signal);
    const place = config.s3 ? wired.placeCheck(signal) : [];
    return (await Promise.all([wired.checks(signal), place, alerts])).flat();
  },
  async checkRestore(config, signal) {
    const { wireRestore } = await import('../restore/wire.ts');
    const { alertChecks } = await import('../core/alerts/alert-checks.ts');
    await using wired = await wireRestore(config, log, { tells: false });
    const alerts = alertChecks(config.alerts, { pings: false }, signal);
    return (await Promise.all([wired.checks(signal), alerts])).flat();
  },
  async verify(config, request, signal) {
    const { wireBackup } = await import('../backup/wire.ts');
    await using wired = await wireBackup(config, log);
    return await wired.verifier.verify(request, signal);
  },
  async prune(config, dryRun, signal) {
    const { wireBackup } = await import('../backup/wire.ts');
    await using wired = await wireBackup(config, log);
    return await wired.prune(dryRun, signal);
  },
  async backupStatus(config, signal) {
    const { backupDir, name } = config;
    const own = ownFolder(backupDir, name);
    const told = await askBackupStatus(config, signal);
    const status = told ?? (await readBackupStatus(own));
    const lastFailure = (await readFailedRun(own)) ?? told?.lastFailure;
    return {
      ...(status ? { status } : {}),
      ...(lastFailure ? { lastFailure } : {}),
      isAlive: told !== undefined,
    };
  },
  async restoreStatus(config, signal) {
    const told = await askDaemonStatus(config, signal);
    const status = told ?? (await readDaemonStatus(restorePlace(config, 'requests')));
    return { status, isAlive: told !== undefined };
  },
  async listPrevious(config) {
    const status = await readDaemonStatus(restorePlace(config, 'requests'));
    return status.previous;
  },
};
