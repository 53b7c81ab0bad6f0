import type { Manifest } from '../core/archive/manifest.ts';
import {
  withoutVerdictsOnS3,
  withRemovalFromS3,
  withS3Upload,
} from '../core/archive/state-file.ts';
import { isUploaded } from '../core/archive/state-findings.ts';
import { DropbackError, errorReport } from '../core/runtime/errors.ts';
import type { UploadDependencies } from './uploads.ts';

/** Notes what our own retention has just removed from the remote store: it isn't lost. */
export async function noteRemovals(
  { local, remote, clock }: Omit<UploadDependencies, 'log'>,
  ids: readonly string[],
): Promise<void> {
  const known = await local.stateIds();
  const now = clock.now();
  for (const id of ids.filter((one) => known.has(one))) {
    await local.updateState(id, (state) => withRemovalFromS3(state, remote.identity, now));
  }
}

/**
 * Backups that were uploaded, that nobody of ours has removed, and that are there no more, oldest first:
 * somebody emptied the bucket, or made it anew. `there`: ids that the remote store has just listed; each
 * that seems to be missing is asked for by name.
 */
export async function findLostCopies(
  { local, remote }: Pick<UploadDependencies, 'local' | 'remote'>,
  there: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Manifest[]> {
  const lost: Manifest[] = [];
  for (const manifest of (await local.list(signal)).backups) {
    const { id } = manifest;
    const state = await local.readState(id);
    if (there.has(id) || !isUploaded(state, remote.identity)) continue;
    if (state.uploads.s3?.removedAt !== undefined || (await remote.lists(id, signal))) continue;
    lost.push(manifest);
  }
  return lost;
}

/** They count as not uploaded again. Told at once, however many they are. */
export async function noteLost(
  { local, remote, clock, log }: UploadDependencies,
  lost: readonly Manifest[],
): Promise<void> {
  if (lost.length === 0) return;
  const ids = lost.map(({ id }) => id);
  const error = errorReport(gone(ids, remote.description));
  log.warn({ error }, 'backups that were uploaded are gone there: they are uploaded again');
  const upload = { status: 'failed', target: remote.identity, at: clock.now(), error } as const;
  for (const id of ids) {
    await local.updateState(id, (known) => withS3Upload(withoutVerdictsOnS3(known), upload));
  }
}

function gone(ids: readonly string[], where: string): DropbackError {
  const [first] = ids;
  const more = ids.length > 1 ? ` (and ${ids.length - 1} more)` : '';
  return new DropbackError('store/not-found', `${first}${more} is no longer in ${where}`, {
    hint: 'look who deletes there. Where a rule of the bucket does, set S3_PRUNE=false: then nothing that it takes is uploaded again.',
    facts: { ids, where },
  });
}
