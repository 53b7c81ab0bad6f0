import type { Manifest } from '../core/archive/manifest.ts';
import { newestBackup } from '../core/archive/newest.ts';
import { madeByOthers, type Others, readOrigin } from '../core/archive/origin.ts';
import type { BackupConfig, KeepPolicy } from '../core/config/config.ts';
import type { Logger } from '../core/observability/log.ts';
import { lastRunFailed, ownFolder } from '../core/requests/backup-status.ts';
import { readFailedRun } from '../core/requests/failed-run.ts';
import { applyRetention } from '../core/retention/apply.ts';
import { planRetention, type RetentionGuards, type RetentionPlan } from '../core/retention/plan.ts';
import { OWN_PLACE, type StorePrune } from '../core/retention/report.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { type ErrorReport, errorReport, isAbort } from '../core/runtime/errors.ts';
import { forRetention } from '../core/stores/catalogue.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { Store } from '../core/stores/store.ts';
import { MAY_NOT_DELETE } from '../core/stores/store-errors.ts';
import { findLostCopies, noteLost, noteRemovals } from './lost-copies.ts';
import { usualGap } from './schedule.ts';
import { sweepStates } from './sweep-states.ts';

export interface PruneDependencies {
  readonly config: BackupConfig;
  readonly local: LocalStore;
  readonly remote?: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Pruned {
  readonly store: Store;
  readonly policy: KeepPolicy;
  readonly requireUploaded: boolean;
  /** Why nothing is removed there though a plan is made. */
  readonly onlyPlanned?: string;
}

/**
 * Retention in each store, by its own policy; nothing is removed when the last run failed. What it
 * can't delete is a warning, never a failed backup. `told`: stores whose refusal was told already;
 * it comes with every run, and once is enough. Returns backups whose uploaded copies are gone, though
 * nobody of ours removed them.
 */
export async function prune(
  deps: PruneDependencies,
  runFailed: boolean,
  signal: AbortSignal,
  told: Set<string> = new Set(),
): Promise<Manifest[]> {
  const { log } = deps;
  let lost: Manifest[] = [];
  // The remote store first: what is found gone there is kept here.
  for (const target of storesOf(deps).toReversed()) {
    if (target.onlyPlanned !== undefined) continue;
    const report = await pruneStore(deps, target, false, runFailed, signal);
    const { store, plan, removed, error } = report;
    tellOthers(report, log, told);
    if (report.where === 's3') lost = await lostBy(deps, report, signal);
    if (plan?.held !== undefined) log.warn({ store }, `nothing removed: ${plan.held}`);
    for (const id of removed) log.info({ id, store }, 'removed by retention');
    if (error?.code !== 'store/refused') told.delete(store);
    else if (told.has(store)) continue;
    else told.add(store);
    if (error) tellError(log, target.store, error);
  }
  await forgetGone(deps, signal);
  return lost;
}

/**
 * Of the uploaded copies that are gone those that the remote store's policy would keep; the others it would
 * have removed by now. A failure costs a look: the next run has one too.
 */
async function lostBy(
  deps: PruneDependencies,
  { plan }: StorePrune,
  signal: AbortSignal,
): Promise<Manifest[]> {
  const { local, remote, clock, config, log } = deps;
  if (!remote || !plan) return [];
  try {
    const there = new Set([...plan.keep, ...plan.remove].map(({ id }) => id));
    const missing = await findLostCopies({ local, remote }, there, signal);
    if (missing.length === 0) return [];
    const listed = (await remote.list(signal)).backups.filter(({ id }) => there.has(id));
    const all = [...listed, ...missing];
    const { keep } = await planFor(deps, remote, config.retention.s3, all, NO_GUARDS);
    const kept = new Set(keep.map(({ id }) => id));
    const lost = missing.filter(({ id }) => kept.has(id));
    const others = missing.filter(({ id }) => !kept.has(id)).map(({ id }) => id);
    await noteRemovals({ local, remote, clock }, others);
    await noteLost({ local, remote, clock, log }, lost);
    return lost;
  } catch (error) {
    if (isAbort(error)) throw error;
    log.debug({ error }, 'whether uploaded copies are gone could not be seen');
    return [];
  }
}

const NO_GUARDS = { lastRunFailed: false, requireUploaded: false };

async function planFor(
  { config, local, remote, clock }: PruneDependencies,
  { kind }: Store,
  policy: KeepPolicy,
  backups: readonly Manifest[],
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

function tellError(log: Logger, { kind, description }: Store, error: ErrorReport): void {
  if (kind !== 's3' || error.code !== 'store/refused') {
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
