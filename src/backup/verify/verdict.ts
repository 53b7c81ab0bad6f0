import { DropbackError } from '../../core/runtime/errors.ts';

/** What says of a backup that it is not what was backed up, or does not restore. */
const AT_FAULT = new Set([
  'store/corrupt',
  'manifest/corrupt',
  'archive/unreadable',
  'drop/corrupt',
  'drop/empty',
  'drop/truncated',
  'drop/trailing-garbage',
  'drop/unknown-content',
  'drop/manifest-mismatch',
  'restore/rows-differ',
  'restore/not-valid',
  'verify/copy-gone',
  'verify/content-differs',
  'verify/foreign-keys',
  'verify/sequences-behind',
  'verify/large-objects-differ',
  'verify/assertion-failed',
]);

/**
 * What a server says when it, and not the archive, is why a load fails: room, rights, limits, and
 * what is installed there.
 */
const NOT_ITS_FAULT =
  /no space left|could not (extend|write|open|fsync|access) file|could not read blocks? [0-9.]+ in file|input\/output error|could not load library|a worker process died|collation "[^"]*" for encoding|disk (is )?full|quota|out of (shared )?memory|permission denied|must be (the )?(owner|superuser|member|able)|not permitted|only superuser|role "[^"]*" does not exist|extension "[^"]*" is not available|extension control file|tablespace "[^"]*" does not exist|too many (clients|connections)|connection slots|canceling statement|deadlock detected|terminating connection|connection to server|server closed the connection|the database system is|encoding "[^"]*" does not match|unrecognized configuration parameter|unsupported version|temp_file_limit/i;

/**
 * Whether an error of a verification is the backup's own, the disk's that it lies on, or that of
 * whatever was to verify it.
 */
export function verdictOf(error: unknown): 'failed' | 'unreadable' | 'inconclusive' {
  if (!(error instanceof DropbackError) || hasKilledProgram(error)) return 'inconclusive';
  if (error.code === 'store/unreadable') return 'unreadable';
  if (AT_FAULT.has(error.code)) return 'failed';
  if (error.code !== 'drop/does-not-load') return 'inconclusive';
  const said = error.facts['stderr'];
  const lines = Array.isArray(said) && said.length > 0 ? said.map(String) : [error.message];
  return lines.some((line) => NOT_ITS_FAULT.test(line)) ? 'inconclusive' : 'failed';
}

/** A program that was ended by a signal (want of memory, a shutdown) has judged nothing. */
function hasKilledProgram(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof DropbackError && typeof at.facts['exitSignal'] === 'string') return true;
  }
  return false;
}
