import type { BackupState } from '../core/archive/state-file.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { Store } from '../core/stores/store.ts';

/**
 * Deletes the states of backups that lie in no store any more, and returns their ids. States are
 * listed before the stores: one that is made meanwhile is left alone. Throws where a store can't be
 * asked; nothing is deleted then.
 */
export async function sweepStates(
  { local, remote }: { readonly local: LocalStore; readonly remote?: Store },
  signal: AbortSignal,
): Promise<string[]> {
  const known = await local.stateIds();
  const here = await local.ids(signal);
  const left = [...known].filter((id) => !here.has(id));
  if (left.length === 0) return [];
  const there = await remote?.ids(signal);
  const gone: string[] = [];
  for (const id of left) {
    // A listing in pages may miss what is there; of those that seem gone there are few.
    if (there?.has(id) || (await remote?.lists(id, signal))) continue;
    if (isElsewhere(await local.readState(id), remote?.identity)) continue;
    await local.dropState(id);
    gone.push(id);
  }
  return gone;
}

/** Uploaded to what isn't configured now, which can't be asked, and may be configured again. */
function isElsewhere({ uploads: { s3 } }: BackupState, target: string | undefined): boolean {
  if (s3?.status !== 'uploaded') return false;
  return target === undefined || (s3.target !== undefined && s3.target !== target);
}
