import { DropbackError } from '../../../runtime/errors.ts';
import { saysDiskFull } from '../../../runtime/process/disk-full.ts';
import { outOfLocks, saysOutOfLocks } from '../out-of-locks.ts';

const CONNECTION = /server closed the connection|connection to server|terminating connection/;
/**
 * Seen with parallel jobs where publications, partitions or foreign keys make two entries lock the
 * same tables in different order: the workers' fault, not the file's.
 */
const DEADLOCK = /deadlock detected/;
export const DEADLOCK_CODE = 'restore/load-deadlock';

/** The error of a load, from what the program said; `cause` is the program's own failure. */
export function loadError(
  program: string,
  said: readonly string[],
  cause?: unknown,
): DropbackError {
  const lines = said.length > 0 ? said : stderrOf(cause);
  const first = (
    lines[0] ??
    (cause instanceof Error ? cause.message : undefined) ??
    'no reason was given'
  ).replace(/^[a-z_]+: error: /, '');
  // First: a server whose log of changes has no space left goes down with that as its last words.
  if (lines.some(saysDiskFull)) {
    return new DropbackError('disk/full', `the server has no space left: ${first}`, {
      hint: "free space on the server's volume, or make it larger; then drop the file again. RESTORE_SERVER_DATA_DIR lets a load end before the server is full.",
      facts: { program, stderr: lines },
      cause,
    });
  }
  if (lines.some((line) => CONNECTION.test(line))) {
    return new DropbackError('restore/load-interrupted', `${program} lost the server: ${first}`, {
      hint: "look into the server's log for why it ended the connection; the restore can be tried again.",
      facts: { program, stderr: lines },
      retryable: true,
      cause,
    });
  }
  if (lines.some(saysOutOfLocks)) {
    const facts = { program, stderr: lines };
    return outOfLocks(first, 'The live database is unchanged.', { facts, cause });
  }
  if (lines.some((line) => DEADLOCK.test(line))) {
    return new DropbackError(
      DEADLOCK_CODE,
      `workers of ${program} were in each other's way: ${first}`,
      {
        hint: 'nothing to do: it is loaded again by one worker.',
        facts: { program, stderr: lines },
        retryable: true,
        cause,
      },
    );
  }
  return new DropbackError('drop/does-not-load', `the file does not load: ${first}`, {
    hint: 'the first error is the cause, the rest follows from it; the live database is unchanged.',
    facts: { program, stderr: lines },
    cause,
  });
}

function stderrOf(error: unknown): string[] {
  const lines = error instanceof DropbackError ? error.facts['stderr'] : undefined;
  return Array.isArray(lines) ? lines.map(String) : [];
}
