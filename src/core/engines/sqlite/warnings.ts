import type { BrokenReferences, ContentFacts } from './protocol.ts';

const MOST = 20;

/**
 * What is odd about a sound file. None of it stops a backup: the same is true of the source, and a
 * database with a wrong reference needs its backup as much as any other.
 */
export function warningsOf(
  facts: Pick<ContentFacts, 'foreignKeys' | 'oddities' | 'notChecked'>,
): string[] {
  const references = facts.foreignKeys.map(brokenReferencesLine);
  return [...shortened(references), ...shortened(facts.oddities), ...shortened(facts.notChecked)];
}

export function brokenReferencesLine({ table, parent, rows }: BrokenReferences): string {
  return `${rows} row(s) of ${table} refer to rows of ${parent} that do not exist`;
}

export function shortened(lines: readonly string[], most = MOST): string[] {
  if (lines.length <= most) return [...lines];
  return [...lines.slice(0, most), `and ${lines.length - most} more like these`];
}
