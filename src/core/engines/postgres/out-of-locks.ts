import { DropbackError } from '../../runtime/errors.ts';

const SAID = /ERROR: +out of shared memory|max_locks_per_transaction/;

/** True where a program's words say that the server's table of locks is full. */
export function saysOutOfLocks(said: string): boolean {
  return SAID.test(said);
}

/** `why` is the first of those words; `so` what else there is to say. */
export function outOfLocks(
  why: string,
  so: string,
  { facts, cause }: { readonly facts: Readonly<Record<string, unknown>>; readonly cause: unknown },
): DropbackError {
  return new DropbackError('database/out-of-locks', `the server's table of locks is full: ${why}`, {
    hint: `raise max_locks_per_transaction on the server (64 by default; it needs a restart): its product with max_connections is how many tables can be locked at a time. ${so}`.trimEnd(),
    facts,
    cause,
  });
}
