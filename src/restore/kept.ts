import type { PreviousDatabase, RestoreEngine } from '../core/engines/engine.ts';
import { DropbackError } from '../core/runtime/errors.ts';
import type { PreviousRecord, PreviousRecords } from './journal/previous-records.ts';

/** Kept databases. `others`: of another live database, which the daemon was set to before. */
export interface SortedKept {
  readonly ours: readonly PreviousRecord[];
  readonly others: readonly PreviousRecord[];
}

export async function sortKept(
  records: readonly PreviousRecord[],
  engine: Pick<RestoreEngine, 'isOfLive'>,
): Promise<SortedKept> {
  const ours: PreviousRecord[] = [];
  const others: PreviousRecord[] = [];
  for (const record of records) {
    const isOurs = await engine.isOfLive(record.state);
    (isOurs ? ours : others).push(record);
  }
  return { ours, others };
}

/** Throws `restore/previous-of-another`: swapped in here it would be another application's data. */
export async function requireKeptOfLive(
  previous: PreviousDatabase,
  records: Pick<PreviousRecords, 'list'>,
  engine: Pick<RestoreEngine, 'isOfLive' | 'description'>,
): Promise<void> {
  const { others } = await sortKept((await records.list()).records, engine);
  const isOther = others.some((record) => record.previous.id === previous.id);
  if (isOther) throw keptOfAnother(previous, engine);
}

export function keptOfAnother(
  { id, name }: Pick<PreviousDatabase, 'id' | 'name'>,
  { description }: Pick<RestoreEngine, 'description'>,
): DropbackError {
  return new DropbackError(
    'restore/previous-of-another',
    `${name} was kept of another database than the one that is configured now (${description})`,
    {
      hint: `it is neither swapped in here nor dropped: set DATABASE_URL as it was, and undo or wait; or remove it by hand, with previous/${id}.json.`,
      facts: { id, name },
    },
  );
}
