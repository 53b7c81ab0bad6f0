import type { Manifest } from '../core/archive/manifest.ts';
import type { BackupConfig, KeepPolicy } from '../core/config/config.ts';
import type { Logger } from '../core/observability/log.ts';
import { planRetention, type RetentionGuards, type RetentionPlan } from '../core/retention/plan.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { forRetention } from '../core/stores/catalogue.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { Store } from '../core/stores/store.ts';
import { usualGap } from './schedule.ts';

export interface PruneDependencies {
  readonly config: BackupConfig;
  readonly local: LocalStore;
  readonly remote?: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The plan for one store, with what the states say of each backup. */
export async function planFor(
  { config, local, remote, clock }: PruneDependencies,
  { kind }: Store,
  policy: KeepPolicy,
  backups: readonly Pick<Manifest, 'id' | 'createdAt'>[],
  guards: Omit<RetentionGuards, 'usualGapMs'>,
): Promise<RetentionPlan> {
  const views = backups.map(async (manifest) => {
    const state = await local.readState(manifest.id);
    return forRetention({ manifest, state }, kind, remote?.identity);
  });
  const now = clock.now();
  const usualGapMs = usualGap(config.schedule, now);
  return planRetention(await Promise.all(views), policy, now, { ...guards, usualGapMs });
}
