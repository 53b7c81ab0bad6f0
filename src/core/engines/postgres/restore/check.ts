import type { TableCount } from '../../../archive/manifest.ts';
import { DropbackError, isAbort, messageOf } from '../../../runtime/errors.ts';
import type { StepContext } from '../../engine.ts';
import { readNotValid } from '../catalog.ts';
import type { Session } from '../session.ts';
import { countAll, countDifferences } from './counts.ts';

export interface Expectation {
  /** Rows as our own manifest has them. */
  readonly tables: readonly TableCount[] | undefined;
  /** Constraints and indexes that were not valid in the source either. */
  readonly notValid: readonly string[] | undefined;
}

export interface ContentCheck {
  readonly tables: readonly TableCount[];
  readonly warnings: readonly string[];
}

/** Counting is most of the work of a check; ANALYZE is the rest. */
const COUNT_SHARE = 0.7;

/**
 * Rows and validity of what was loaded, then ANALYZE. Runs as the load identity where the file is
 * foreign: its functions are called by index expressions. Throws `restore/rows-differ`,
 * `restore/not-valid`.
 */
export async function checkContent(
  session: Session,
  expected: Expectation,
  context: StepContext,
): Promise<ContentCheck> {
  const progress = (fraction: number) => context.progress(fraction * COUNT_SHARE);
  const { tables, warnings } = await compareContent(session, expected, progress);
  const more = await analyze(session);
  context.progress(1);
  return { tables, warnings: [...warnings, ...more] };
}

/** Rows and validity alone. Throws `restore/rows-differ`, `restore/not-valid`. */
export async function compareContent(
  session: Session,
  expected: Expectation,
  progress: (fraction: number) => void,
): Promise<ContentCheck> {
  const tables = await countAll(session, progress);
  if (expected.tables) {
    const differences = countDifferences(expected.tables, tables);
    if (differences.length > 0) throw rowsDiffer(differences);
  }
  return { tables, warnings: validity(await readNotValid(session), expected.notValid) };
}

function validity(found: readonly string[], known: readonly string[] | undefined): string[] {
  const fresh = found.filter((path) => !known?.includes(path));
  if (fresh.length === 0) return [];
  // A foreign file says itself what is NOT VALID; only a manifest can say that it should not be.
  if (known === undefined) return [`not valid in the new database: ${fresh.join(', ')}`];
  throw new DropbackError(
    'restore/not-valid',
    `constraints or indexes that were valid in the source are not valid now: ${fresh.join(', ')}`,
    {
      hint: 'this should not happen: keep the backup, and try an older one.',
      facts: { notValid: fresh },
    },
  );
}

/**
 * Without statistics the first queries after the swap would be planned blindly; but bad statistics
 * are no reason to refuse good data.
 */
export async function analyze(session: Session): Promise<string[]> {
  try {
    // Functions in index expressions often rely on the usual path.
    await session.query('SET search_path = "$user", public');
    await session.query('ANALYZE');
    return [];
  } catch (error) {
    if (isAbort(error) || session.lost.aborted) throw error;
    return [`ANALYZE did not finish, run it by hand: ${messageOf(error)}`];
  } finally {
    if (!session.lost.aborted) await session.query('SET search_path = pg_catalog, pg_temp');
  }
}

function rowsDiffer(differences: readonly string[]): DropbackError {
  const shown = differences.slice(0, 10).join('; ');
  return new DropbackError(
    'restore/rows-differ',
    `the loaded tables are not those that were backed up: ${shown}`,
    {
      hint: 'the backup or the load is damaged: nothing was swapped. Try an older backup, and keep this one for a look.',
      facts: { differences },
    },
  );
}
