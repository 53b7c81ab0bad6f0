import type { Manifest } from '../core/archive/manifest.ts';
import { newestBackup } from '../core/archive/newest.ts';
import { madeByOthers, type Others, readOrigin } from '../core/archive/origin.ts';
import type { KeepPolicy } from '../core/config/config.ts';
import type { Logger } from '../core/observability/log.ts';
import { lastRunFailed, ownFolder } from '../core/requests/backup-status.ts';
import { readFailedRun } from '../core/requests/failed-run.ts';
import { applyRetention } from '../core/retention/apply.ts';
import type { RetentionPlan } from '../core/retention/plan.ts';
import { OWN_PLACE, type StorePrune } from '../core/retention/report.ts';
import { type ErrorReport, errorReport, isAbort } from '../core/runtime/errors.ts';
import type { Store } from '../core/stores/store.ts';
import { MAY_NOT_DELETE } from '../core/stores/store-errors.ts';
import { findLost, type LostCopies, NOTHING_LOST, noteRemovals } from './lost-copies.ts';
import { type PruneDependencies, planFor } from './plan-for.ts';
import { sweepStates } from './sweep-states.ts';

interface Pruned {
  readonly store: Store;
  readonly policy: KeepPolicy;
  readonly requireUploaded: boolean;
  /** Why nothing is removed there though a plan is made. */
  readonly onlyPlanned?: string;
}

export interface PruneOutcome {
  /** Backups whose uploaded copies are gone, though nobody of ours removed them. */
  readonly lost: LostCopies;
  /** Another db-backup writes to the remote store under the same name; absent where nobody has looked. */
  readonly isShared?: boolean;
}

/**
 * Retention in each store, by its own policy; nothing is removed when the last run failed. What it
 * can't delete is a warning, never a failed backup. `told`: stores whose refusal was told already;
 * it comes with every run, and once is enough.
 */
export async function prune(
  deps: PruneDependencies,
  runFailed: boolean,
  signal: AbortSignal,
  told: Set<string> = new Set(),
): Promise<PruneOutcome> {
  const { log } = deps;
  let outcome: PruneOutcome = { lost: NOTHING_LOST };
  // The remote store first: what is found gone there is kept here.
  for (const target of storesOf(deps).toReversed()) {
    if (target.onlyPlanned !== undefined) continue;
    const report = await pruneStore(deps, target, false, runFailed, signal);
    const { store, plan, removed, error } = report;
    tellOthers(report, log, told);
    if (report.where === 's3' && plan) {
      const lost = await findLost(deps, idsOf(plan), signal);
      outcome = { lost, isShared: report.others?.areWriting ?? false };
    }
    if (plan?.held !== undefined) log.warn({ store }, `nothing removed: ${plan.held}`);
    for (const id of removed) log.info({ id, store }, 'removed by retention');
    if (error?.code !== 'store/refused') told.delete(store);
    else if (told.has(store)) continue;
    else told.add(store);
    if (error) tellError(log, target.store, error, plan !== undefined);
  }
  await forgetGone(deps, signal);
  return outcome;
}

function idsOf({ keep, remove }: RetentionPlan): ReadonlySet<string> {
  return new Set([...keep, ...remove].map(({ id }) => id));
}

/** A store that can't be asked now is asked the next time; what stays are a few bytes. */
async function forgetGone(deps: PruneDependencies, signal: AbortSignal): Promise<void> {
  try {
    await sweepStates(deps, signal);
  } catch (error) {
    if (isAbort(error)) throw error;
    deps.log.debug({ error }, 'states of backups that are gone could not be swept');
  }
}

function tellOthers({ store, others }: StorePrune, log: Logger, told: Set<string>): void {
  const key = `others in ${store}`;
  if (!others?.areWriting || told.has(key)) return;
  told.add(key);
  const hint = OWN_PLACE;
  log.warn({ store, backups: others.ids.length, hint }, 'another db-backup writes there too');
}

/** `isPlanned`: it got as far as the removals. */
function tellError(
  log: Logger,
  { kind, description }: Store,
  error: ErrorReport,
  isPlanned: boolean,
): void {
  if (kind !== 's3' || error.code !== 'store/refused' || !isPlanned) {
    log.warn({ store: description, error }, 'retention could not be carried out');
    return;
  }
  const text = 'retention may not delete there: backups stay until somebody else deletes them';
  log.warn({ store: description, error: { ...error, hint: MAY_NOT_DELETE } }, text);
}

/**
 * The same at somebody's wish, who may want to see the plan alone. That nobody has just made a good
 * backup is why it asks what became of the last run.
 */
export async function pruneOnDemand(
  deps: PruneDependencies,
  dryRun: boolean,
  signal: AbortSignal,
): Promise<StorePrune[]> {
  const { backupDir, name } = deps.config;
  const failure = await readFailedRun(ownFolder(backupDir, name));
  const now = deps.clock.now();
  const newest = newestBackup((await deps.local.list(signal)).backups, now)?.createdAt;
  const failed = lastRunFailed(failure, newest, now);
  const reports: StorePrune[] = [];
  for (const target of storesOf(deps)) {
    reports.push(await pruneStore(deps, target, dryRun, failed, signal));
  }
  if (!dryRun) await forgetGone(deps, signal);
  return reports;
}

function storesOf({ config, local, remote }: PruneDependencies): Pruned[] {
  const { retention } = config;
  const requireUploaded = remote !== undefined;
  const stores: Pruned[] = [{ store: local, policy: retention.local, requireUploaded }];
  if (!remote) return stores;
  const why = 'S3_PRUNE=false: a rule of the bucket, or somebody else, deletes there';
  return [
    ...stores,
    {
      store: remote,
      policy: retention.s3,
      requireUploaded: false,
      ...(config.s3?.prune ? {} : { onlyPlanned: why }),
    },
  ];
}

async function pruneStore(
  deps: PruneDependencies,
  { store, policy, requireUploaded, onlyPlanned }: Pruned,
  dryRun: boolean,
  runFailed: boolean,
  signal: AbortSignal,
): Promise<StorePrune> {
  const { local, remote, clock } = deps;
  const base = { where: store.kind, store: store.description, dryRun, removed: [] };
  const note = onlyPlanned === undefined ? {} : { onlyPlanned };
  try {
    const listed = (await store.list(signal)).backups;
    const others = await othersIn(deps, store, listed, signal);
    const backups = listed.filter(({ id }) => !others.ids.includes(id));
    const guards = { lastRunFailed: runFailed, requireUploaded };
    const plan = await planFor(deps, store, policy, backups, guards);
    const bytes = Object.fromEntries(backups.map(({ id, archive }) => [id, archive.bytes]));
    const report = { ...base, ...note, ...(others.ids.length > 0 ? { others } : {}), plan, bytes };
    if (dryRun || onlyPlanned !== undefined) return report;
    const removed: string[] = [];
    try {
      await applyRetention(store, plan, backups, signal, (id) => removed.push(id));
      return { ...report, removed };
    } catch (error) {
      if (isAbort(error)) throw error;
      return { ...report, removed, error: errorReport(error) };
    } finally {
      if (store === remote) await noteRemovals({ local, remote, clock }, removed);
    }
  } catch (error) {
    if (isAbort(error)) throw error;
    return { ...base, ...note, bytes: {}, error: errorReport(error) };
  }
}

/**
 * In the local folder there can be none: whoever writes there has its origin. What lies there says since
 * when we are here, where nothing of ours is left in the remote store.
 */
async function othersIn(
  { config, local }: PruneDependencies,
  { kind }: Store,
  listed: readonly Manifest[],
  signal: AbortSignal,
): Promise<Others> {
  if (kind === 'local') return { ids: [], areWriting: false };
  const own = await readOrigin(ownFolder(config.backupDir, config.name));
  const ids = new Set(listed.map(({ id }) => id));
  const here = (await local.list(signal)).backups.filter(({ id }) => !ids.has(id));
  return madeByOthers(own, [...here, ...listed]);
}
