/** How many objects a warning names, and how many warnings of this kind a report holds. */
const MOST_NAMES = 5;
const MOST_WARNINGS = 20;

/** One owner or grant of a file that was not repeated. */
export interface LeftOut {
  /** `the owner of`, `a grant on`. */
  readonly what: string;
  /** As a statement names it: `TABLE public.t`. */
  readonly object: string;
  /** `was left out for the unknown role bob`. */
  readonly why: string;
}

/** One line for everything that was left out for the same reason: a file may have 10,000 tables. */
export function leftOutWarnings(all: readonly LeftOut[]): string[] {
  const groups = Map.groupBy(all, ({ what, why }) => JSON.stringify([what, why]));
  const warnings = [...groups.values()].map(warningFor);
  if (warnings.length <= MOST_WARNINGS) return warnings;
  const more = warnings.length - MOST_WARNINGS;
  return [...warnings.slice(0, MOST_WARNINGS), `and ${more} more of the same kind`];
}

function warningFor(group: readonly LeftOut[]): string {
  const [{ what, why, object } = { what: '', why: '', object: '' }] = group;
  // A table's columns each have their grants: the same name may come several times.
  const objects = [...new Set(group.map((each) => each.object))];
  if (objects.length === 1) return `${what} ${object} ${why}`;
  const named = objects.slice(0, MOST_NAMES).join(', ');
  const more = objects.length > MOST_NAMES ? ` and ${objects.length - MOST_NAMES} more` : '';
  return `${what} ${objects.length} objects ${why}: ${named}${more}`;
}
