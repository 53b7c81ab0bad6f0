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
  const gone = left.filter((id) => !there?.has(id));
  for (const id of gone) await local.dropState(id);
  return gone;
}
