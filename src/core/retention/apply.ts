import { DropbackError, throwIfAborted } from '../runtime/errors.ts';
import type { Store } from '../stores/store.ts';
import type { RetentionPlan } from './plan.ts';

/**
 * Removes what the plan says, oldest first, and returns the ids. Stops at the first error, which it
 * throws; each one that went is told as it goes. The store is asked anew, before each removal: what is
 * gone already is skipped, and once anything that was to be kept is no longer there, the plan rests on
 * what is no more: `retention/stale`. So two that prune at the same time, each by a policy of its own,
 * don't together remove what either of them meant to keep, save for one.
 */
export async function applyRetention(
  store: Store,
  plan: RetentionPlan,
  signal: AbortSignal,
  onRemoved: (id: string) => void = () => {},
): Promise<string[]> {
  const removed: string[] = [];
  if (plan.remove.length === 0) return removed;
  const listing = await store.list(signal);
  const listed = new Map(listing.backups.map((manifest) => [manifest.id, manifest]));
  requireKept(plan, new Set(listed.keys()), store.description);
  for (const { id } of plan.remove) {
    const manifest = listed.get(id);
    if (!manifest) continue;
    throwIfAborted(signal);
    requireKept(plan, await store.ids(signal), store.description);
    await store.remove(manifest, signal);
    removed.push(id);
    onRemoved(id);
  }
  return removed;
}

function requireKept(plan: RetentionPlan, there: ReadonlySet<string>, store: string): void {
  const gone = plan.keep.find(({ id }) => !there.has(id));
  if (plan.keep.length > 0 && !gone) return;
  throw new DropbackError(
    'retention/stale',
    `a backup that was to be kept is gone: ${gone?.id ?? 'all of them'}`,
    {
      hint: 'what was not removed yet stays; look who else deletes backups there.',
      facts: { store, reasons: gone?.reasons ?? [] },
    },
  );
}
