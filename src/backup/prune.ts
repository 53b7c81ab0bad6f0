import type { Manifest } from '../core/archive/manifest.ts';
import { isVerified } from '../core/archive/state-file.ts';
import type { BackupConfig } from '../core/config/config.ts';
import type { Logger } from '../core/observability/log.ts';
import { applyRetention } from '../core/retention/apply.ts';
import { planRetention, type RetentionBackup } from '../core/retention/plan.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { isAbort } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { Store } from '../core/stores/store.ts';

export interface PruneDependencies {
  readonly config: BackupConfig;
  readonly local: LocalStore;
  readonly remote?: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Retention in each store, by its own policy. Called after a good run alone. What it can't delete is
 * a warning, never a failed backup.
 */
export async function prune(deps: PruneDependencies, signal: AbortSignal): Promise<void> {
  const { config, local, remote, log } = deps;
  const requireUploaded = remote !== undefined;
  const stores: [Store, typeof config.retention.local, boolean][] = [
    [local, config.retention.local, requireUploaded],
  ];
  if (remote && config.s3?.prune) stores.push([remote, config.retention.s3, false]);
  for (const [store, policy, mustBeUploaded] of stores) {
    try {
      const listed = (await store.list(signal)).backups;
      const backups = await Promise.all(listed.map((manifest) => retentionView(manifest, local)));
      const guards = { lastRunFailed: false, requireUploaded: mustBeUploaded };
      const plan = planRetention(backups, policy, deps.clock.now(), guards);
      if (plan.held) log.warn({ store: store.description }, `nothing removed: ${plan.held}`);
      const removed = await applyRetention(store, plan, signal);
      for (const id of removed) log.info({ id, store: store.description }, 'removed by retention');
    } catch (error) {
      if (isAbort(error)) throw error;
      log.warn({ store: store.description, error }, 'retention could not be carried out');
    }
  }
}

async function retentionView(manifest: Manifest, local: LocalStore): Promise<RetentionBackup> {
  const state = await local.readState(manifest.id);
  return {
    id: manifest.id,
    createdAt: manifest.createdAt,
    verified: isVerified(state),
    uploaded: state.uploads.s3?.status === 'uploaded',
  };
}
