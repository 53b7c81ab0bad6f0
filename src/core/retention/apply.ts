import type { Manifest } from '../archive/manifest.ts';
import { DropbackError, throwIfAborted } from '../runtime/errors.ts';
import type { Store } from '../stores/store.ts';
import type { KeptBackup, RetentionPlan } from './plan.ts';

/**
 * Removes what the plan says, oldest first, and returns the ids. Stops at the first error, which it
 * throws; each one that went is told as it goes. `planned`: what the store listed when the plan was made;
 * that it is still this very backup which goes, the store sees to. Before each removal it is asked for its
 * ids anew: what is gone already is skipped, and once anything that was to be kept is no longer there, the
 * plan rests on what is no more: `retention/stale`. So two that prune at the same time, each by a policy of
 * its own, don't together remove what either of them meant to keep, save for one.
 */
export async function applyRetention(
  store: Store,
  plan: RetentionPlan,
  planned: readonly Manifest[],
  signal: AbortSignal,
  onRemoved: (id: string) => void = () => {},
): Promise<string[]> {
  const removed: string[] = [];
  const manifests = new Map(planned.map((manifest) => [manifest.id, manifest]));
  for (const { id } of plan.remove) {
    const manifest = manifests.get(id);
    if (!manifest) continue;
    throwIfAborted(signal);
    const there = await store.ids(signal);
    await requireKept(plan, there, store, signal);
    if (!there.has(id)) continue;
    await store.remove(manifest, signal);
    removed.push(id);
    onRemoved(id);
  }
  return removed;
}

async function requireKept(
  plan: RetentionPlan,
  there: ReadonlySet<string>,
  store: Store,
  signal: AbortSignal,
): Promise<void> {
  const gone = await firstGone(plan, there, store, signal);
  if (plan.keep.length > 0 && !gone) return;
  throw new DropbackError(
    'retention/stale',
    `a backup that was to be kept is gone: ${gone?.id ?? 'all of them'}`,
    {
      hint: 'what was not removed yet stays; look who else deletes backups there.',
      facts: { store: store.description, reasons: gone?.reasons ?? [] },
    },
  );
}

/** One that isn't among the ids is asked for by name: a listing in pages may miss what is there. */
async function firstGone(
  plan: RetentionPlan,
  there: ReadonlySet<string>,
  store: Store,
  signal: AbortSignal,
): Promise<KeptBackup | undefined> {
  for (const kept of plan.keep) {
    if (!there.has(kept.id) && !(await store.lists(kept.id, signal))) return kept;
  }
  return undefined;
}
