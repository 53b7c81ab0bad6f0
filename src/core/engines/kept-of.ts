import { DropbackError } from '../runtime/errors.ts';
import type { PreviousDatabase } from './engine.ts';

/**
 * Whoever points DATABASE_URL at another database, beside the same drop folder, still has the kept one of
 * the former: swapped in, it would stand in for a database that it never was. Throws
 * `restore/previous-of-another`.
 */
export function requireKeptOf({ of }: PreviousDatabase, live: string): void {
  // Undefined: kept before this was noted.
  if (of === undefined || of === live) return;
  throw new DropbackError(
    'restore/previous-of-another',
    `what is kept is the previous ${of}, not ${live}`,
    {
      hint: `set DATABASE_URL back to ${of} to bring that one back; a backup of ${live} can be restored at any time.`,
      facts: { of, live },
    },
  );
}
