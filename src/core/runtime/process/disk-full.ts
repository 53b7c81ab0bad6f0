import { DropbackError } from '../errors.ts';

// tar doesn't ask again why a write into a file was cut short; a pipe (-) was closed by its reader.
const FULL = /No space left on device|Disk quota exceeded|[^-]: Wrote only \d+ of \d+ bytes/i;
const FAILING = /Input\/output error/i;

/** True where a program's words say that a volume is full. */
export function saysDiskFull(said: string): boolean {
  return FULL.test(said);
}

/**
 * A program that could not write, told as what it is: `disk/full` or `disk/failing`. Other errors
 * pass. `volume`: what to make room on, for the hint.
 */
export function diskError(error: unknown, volume: string): unknown {
  if (!(error instanceof DropbackError) || error.code !== 'tool/failed') return error;
  const { stderr } = error.facts;
  const said = Array.isArray(stderr) ? stderr.join('\n') : '';
  if (FULL.test(said)) {
    return new DropbackError('disk/full', `no space left: ${error.message}`, {
      hint: `free space on ${volume}, or make it larger; then try again.`,
      facts: error.facts,
      cause: error,
    });
  }
  if (!FAILING.test(said)) return error;
  return new DropbackError('disk/failing', `the disk reports an error: ${error.message}`, {
    hint: `look at the kernel's log (dmesg) and at the disk of ${volume} before anything else.`,
    facts: error.facts,
    cause: error,
  });
}
