import type { RestoreState } from '../core/engines/engine.ts';
import type { MachineParts } from './parts.ts';

/**
 * Removes databases of restores that no record knows. Kept ones are known by the state of the
 * restore that replaced them; where one of their records can't be read, nothing is swept.
 */
export async function sweepLeftovers(parts: MachineParts, signal: AbortSignal): Promise<void> {
  const { records, unusable } = await parts.previous.list();
  if (unusable.length > 0) {
    parts.log.error(
      { files: unusable },
      'records of previous databases are damaged: nothing is swept, so that none of them is lost',
    );
    return;
  }
  const known: RestoreState[] = records.map(({ state }) => state);
  const inHand = parts.journal.body.record?.state;
  if (inHand) known.push(inHand);
  const { log } = parts;
  const context = { signal, log, progress: () => {}, save: async () => {} };
  const swept = await parts.engine.sweep(known, context);
  parts.leftovers.found = false;
  if (swept.length > 0) log.warn({ swept }, 'removed left-overs of interrupted restores');
}
