import { DropbackError, throwIfAborted } from '../runtime/errors.ts';
import type { Store } from '../stores/store.ts';
import type { RetentionPlan } from './plan.ts';

/**
 * Removes what the plan says, oldest first, and returns the ids. Stops at the first error, which it
 * throws; each one that went is told as it goes. The store is listed anew: what is gone already is skipped, and a plan whose newest kept
 * backup is no longer there is refused with `retention/stale`.
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
  requireSomethingLeft(plan, new Set(listed.keys()), store.description);
  for (const { id } of plan.remove) {
    const manifest = listed.get(id);
    if (!manifest) continue;
    throwIfAborted(signal);
    await store.remove(manifest, signal);
    removed.push(id);
    onRemoved(id);
  }
  return removed;
}

/** The newest that the plan keeps must still be listed, or the plan rests on what is no more. */
function requireSomethingLeft(
  plan: RetentionPlan,
  listed: ReadonlySet<string>,
  store: string,
): void {
  const newest = plan.keep[0]?.id;
  if (newest !== undefined && listed.has(newest)) return;
  throw new DropbackError('retention/stale', 'the newest backup that was to be kept is gone', {
    hint: 'nothing was removed; look who else deletes backups there.',
    facts: { store, expected: newest ?? null },
  });
}
