import { parseArchiveId } from '../core/archive/archive-name.ts';
import type { Manifest } from '../core/archive/manifest.ts';
import { newestBackup } from '../core/archive/newest.ts';
import {
  withoutVerdictsOnS3,
  withRemovalFromS3,
  withS3Upload,
} from '../core/archive/state-file.ts';
import { isUploaded } from '../core/archive/state-findings.ts';
import { DropbackError, errorReport, isAbort } from '../core/runtime/errors.ts';
import type { Store } from '../core/stores/store.ts';
import { type PruneDependencies, planFor } from './plan-for.ts';

/** Uploaded copies that are gone, though nobody of ours has removed them: somebody emptied the bucket. */
export interface LostCopies {
  /** Still here: they count as not uploaded again. */
  readonly again: readonly Manifest[];
  /** Ids of those of which nothing is left. */
  readonly forGood: readonly string[];
}

export const NOTHING_LOST: LostCopies = { again: [], forGood: [] };

type WithRemote = PruneDependencies & { readonly remote: Store };

/** Without the manifest it is in the remote store alone, or was. */
interface Missing {
  readonly id: string;
  readonly createdAt: string;
  readonly manifest?: Manifest;
}

/** Notes what our own retention has just removed from the remote store: it isn't lost. */
export async function noteRemovals(
  { local, remote, clock }: Pick<WithRemote, 'local' | 'remote' | 'clock'>,
  ids: readonly string[],
): Promise<void> {
  const known = await local.stateIds();
  const now = clock.now();
  for (const id of ids.filter((one) => known.has(one))) {
    await local.updateState(id, (state) => withRemovalFromS3(state, remote.identity, now));
  }
}

/**
 * Whether the newest copy is still there, and where it isn't, what else is gone. Where a rule of the bucket
 * deletes (S3_PRUNE=false), older ones go as they should; nothing that means well takes the newest.
 * Throws what the store says where it can't be asked.
 */
export async function lookAtNewestCopy(deps: WithRemote, signal: AbortSignal): Promise<LostCopies> {
  const { local, remote, clock } = deps;
  const uploaded: Manifest[] = [];
  for (const manifest of (await local.list(signal)).backups) {
    if (isThereBy(await local.readState(manifest.id), remote)) uploaded.push(manifest);
  }
  const newest = newestBackup(uploaded, clock.now());
  if (!newest || (await isWhole(remote, newest, signal))) return NOTHING_LOST;
  return await findLost(deps, new Set(), signal);
}

/**
 * Of the uploaded copies that are gone those that the remote store's policy would keep; the others it would
 * have removed by now. `there`: ids that it has just listed as whole. A failure costs a look: the next run
 * has one too.
 */
export async function findLost(
  deps: PruneDependencies,
  there: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<LostCopies> {
  const { remote, config, log } = deps;
  if (!remote) return NOTHING_LOST;
  try {
    const missing = await findMissing({ ...deps, remote }, there, signal);
    if (missing.length === 0) return NOTHING_LOST;
    const gone = new Set(missing.map(({ id }) => id));
    const listed = (await remote.list(signal)).backups.filter(({ id }) => !gone.has(id));
    const all = [...listed, ...missing];
    const guards = { lastRunFailed: false, requireUploaded: false };
    const { keep } = await planFor(deps, remote, config.retention.s3, all, guards);
    const kept = new Set(keep.map(({ id }) => id));
    const others = missing.filter(({ id }) => !kept.has(id)).map(({ id }) => id);
    await noteRemovals({ ...deps, remote }, others);
    const lost = missing.filter(({ id }) => kept.has(id));
    await noteLost({ ...deps, remote }, lost);
    return {
      again: lost.flatMap(({ manifest }) => (manifest ? [manifest] : [])),
      forGood: lost.flatMap(({ id, manifest }) => (manifest ? [] : [id])),
    };
  } catch (error) {
    if (isAbort(error)) throw error;
    log.debug({ error }, 'whether uploaded copies are gone could not be seen');
    return NOTHING_LOST;
  }
}

/** Oldest first; what seems to be missing is asked for by name. */
async function findMissing(
  { local, remote }: WithRemote,
  there: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Missing[]> {
  const here = new Map((await local.list(signal)).backups.map((one) => [one.id, one]));
  const missing: Missing[] = [];
  for (const id of [...(await local.stateIds())].sort()) {
    if (there.has(id) || !isThereBy(await local.readState(id), remote)) continue;
    const manifest = here.get(id);
    const isThere = manifest ? isWhole(remote, manifest, signal) : remote.lists(id, signal);
    if (await isThere) continue;
    const createdAt = manifest?.createdAt ?? parseArchiveId(id)?.at.toISOString();
    if (createdAt !== undefined) missing.push({ id, createdAt, ...(manifest ? { manifest } : {}) });
  }
  return missing;
}

function isThereBy(state: Parameters<typeof isUploaded>[0], { identity }: Store): boolean {
  return isUploaded(state, identity) && state.uploads.s3?.removedAt === undefined;
}

/** Manifest and archive, as far as can be told without reading it. Throws where nobody can tell. */
async function isWhole(remote: Store, manifest: Manifest, signal: AbortSignal): Promise<boolean> {
  try {
    await remote.confirm(manifest, signal);
    return true;
  } catch (error) {
    const code = error instanceof DropbackError ? error.code : '';
    if (!['store/not-found', 'store/corrupt', 'manifest/corrupt'].includes(code)) throw error;
    return false;
  }
}

/** Those that are here count as not uploaded again. Told at once, however many they are. */
async function noteLost(
  { local, remote, clock, log }: WithRemote,
  lost: readonly Missing[],
): Promise<void> {
  const again = lost.filter(({ manifest }) => manifest).map(({ id }) => id);
  const forGood = lost.filter(({ manifest }) => !manifest).map(({ id }) => id);
  if (again.length > 0) {
    const error = errorReport(goneError(again, remote.description));
    log.warn({ error }, 'backups that were uploaded are gone there: they are uploaded again');
    const upload = { status: 'failed', target: remote.identity, at: clock.now(), error } as const;
    for (const id of again) {
      await local.updateState(id, (known) => withS3Upload(withoutVerdictsOnS3(known), upload));
    }
  }
  if (forGood.length === 0) return;
  const error = errorReport(goneError(forGood, remote.description));
  log.error({ error }, 'backups that were there alone are gone: nothing is left of them');
  await noteRemovals({ local, remote, clock }, forGood);
}

/** What somebody has to look at. */
export function goneError(ids: readonly string[], where: string): DropbackError {
  const [first] = ids;
  const more = ids.length > 1 ? ` (and ${ids.length - 1} more)` : '';
  return new DropbackError('store/not-found', `${first}${more} is no longer in ${where}`, {
    hint: 'look who deletes there. Where a rule of the bucket does, set S3_PRUNE=false: then nothing that it takes is uploaded again, unless it takes the newest.',
    facts: { ids, where },
  });
}
