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
 * Backups that were uploaded, that nobody of ours has removed, and that are there no more: somebody
 * emptied the bucket, or made it anew. They count as not uploaded again, and are returned, oldest first.
 * `there`: ids that the remote store has just listed; each that seems to be missing is asked for by name.
 */
export async function noticeLostCopies(
  { local, remote, clock, log }: UploadDependencies,
  there: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Manifest[]> {
  const lost: Manifest[] = [];
  for (const manifest of (await local.list(signal)).backups) {
    const { id } = manifest;
    const state = await local.readState(id);
    if (there.has(id) || !isUploaded(state, remote.identity)) continue;
    if (state.uploads.s3?.removedAt !== undefined || (await remote.lists(id, signal))) continue;
    const error = errorReport(gone(id, remote.description));
    log.warn({ id, error }, 'a backup that was uploaded is gone there; it is uploaded again');
    const upload = { status: 'failed', target: remote.identity, at: clock.now(), error } as const;
    await local.updateState(id, (known) => withS3Upload(withoutVerdictsOnS3(known), upload));
    lost.push(manifest);
  }
  return lost;
}

function gone(id: string, where: string): DropbackError {
  return new DropbackError('store/not-found', `${id} is no longer in ${where}`, {
    hint: 'look who deletes there. Where a rule of the bucket does, set S3_PRUNE=false: then nothing that it takes is uploaded again.',
    facts: { id, where },
  });
}
