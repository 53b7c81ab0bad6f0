import type { Manifest, TableCount } from '../../../archive/manifest.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import type { Rehearsal, RehearsalRequest } from '../../engine.ts';
import { LARGE_OBJECTS, notedSequences } from '../backup/dump-description.ts';
import { countLargeObjects, readSequences, type SequencePosition } from '../catalog.ts';
import { compareContent } from '../restore/check.ts';
import type { Session } from '../session.ts';
import { notCovered } from './not-covered.ts';
import { type NotRehearsed, nameOf, notRehearsable } from './not-rehearsed.ts';
import { askQueries } from './queries.ts';

const MOST_NAMES = 10;

export interface Comparison extends Pick<RehearsalRequest, 'manifest' | 'queries' | 'onProgress'> {
  readonly notRehearsed: NotRehearsed;
}

/** Compares a loaded scratch database with the manifest, then asks the user's queries. */
export async function compareScratch(
  session: Session,
  { manifest, queries, onProgress, notRehearsed }: Comparison,
  signal: AbortSignal,
): Promise<Rehearsal> {
  const expected = {
    tables: rehearsedTables(manifest, notRehearsed),
    notValid: manifest.database.notValid,
  };
  const { tables, warnings } = await compareContent(session, expected, (fraction) =>
    onProgress(`comparing, ${Math.floor(fraction * 100)}%`),
  );
  await compareLargeObjects(session, manifest);
  const missing = notRehearsed.namesOf('SEQUENCE');
  const noted = notedSequences(manifest)?.filter((sequence) => !missing.has(nameOf(sequence)));
  if (noted) requireNotBehind(noted, await readSequences(session));
  if (queries.length > 0) onProgress('asking BACKUP_VERIFY_SQL');
  await askQueries(session, queries, { isPartial: notRehearsed.isPartial }, signal);
  return { tables, notCovered: notCovered(manifest, tables, notRehearsed), warnings };
}

/**
 * The tables to compare. Throws `verify/not-rehearsable` where none of the rows that were backed up
 * could be loaded: that proves nothing.
 */
export function rehearsedTables(
  { tables }: Manifest,
  notRehearsed: NotRehearsed,
): readonly TableCount[] {
  const missing = notRehearsed.namesOf('TABLE');
  const rehearsed = tables.filter((table) => !missing.has(nameOf(table)));
  const holdsRows = (some: readonly TableCount[]) => some.some(({ rows }) => rows > 0);
  if (holdsRows(rehearsed) || !holdsRows(tables)) return rehearsed;
  throw notRehearsable('only a superuser may create what every table needs');
}

async function compareLargeObjects(session: Session, { database }: Manifest): Promise<void> {
  const expected = database.properties[LARGE_OBJECTS];
  if (typeof expected !== 'number') return;
  const found = await countLargeObjects(session);
  if (found === expected) return;
  throw new DropbackError(
    'verify/large-objects-differ',
    `${found} large objects were restored, ${expected} were backed up`,
    {
      hint: 'the backup is not whole: keep it for a look, and make another one.',
      facts: { found, expected },
    },
  );
}

/**
 * A sequence that has fallen back gives numbers out twice. Throws `verify/sequences-behind`, which
 * names each one that is missing, or not as far as it was at the snapshot.
 */
export function requireNotBehind(
  noted: readonly SequencePosition[],
  found: readonly SequencePosition[],
): void {
  const key = ({ schema, name }: SequencePosition) => JSON.stringify([schema, name]);
  const now = new Map(found.map((sequence) => [key(sequence), sequence.last]));
  const behind = noted.flatMap((sequence) => {
    const { schema, name, last, isAscending } = sequence;
    const have = now.get(key(sequence));
    if (have !== undefined) {
      const isBehind = isAscending ? BigInt(have) < BigInt(last) : BigInt(have) > BigInt(last);
      if (!isBehind) return [];
    }
    return [`${schema}.${name} is ${have ?? 'at its beginning'}, it was ${last}`];
  });
  if (behind.length === 0) return;
  const more = behind.length > MOST_NAMES ? ` and ${behind.length - MOST_NAMES} more` : '';
  throw new DropbackError(
    'verify/sequences-behind',
    `sequences are behind: ${behind.slice(0, MOST_NAMES).join('; ')}${more}`,
    {
      hint: 'unless somebody set them back or dropped them while the backup was made, it is not whole: make another one.',
      facts: { sequences: behind.slice(0, 100) },
    },
  );
}
