import { randomBytes } from 'node:crypto';

/**
 * Files of ours beside a database: `.<base>.dropback_<kind>_<16 hex>`. s: staged, p: previous,
 * c: folder of a backup's copy.
 */
export type OurFile = 's' | 'p' | 'c';

export function newId(): string {
  return randomBytes(8).toString('hex');
}

export function ourName(base: string, kind: OurFile, id: string): string {
  return `${ourPrefix(base, kind)}${id}`;
}

/** Of one kind, or of all of them. */
export function ourPrefix(base: string, kind?: OurFile): string {
  return kind ? `.${base}.dropback_${kind}_` : `.${base}.dropback_`;
}

export function copyPrefix(base: string): string {
  return ourPrefix(base, 'c');
}

/** What SQLite itself puts beside a file. */
export const SIDE_SUFFIXES = ['-wal', '-shm', '-journal'] as const;

/** Whether a name is one of ours and nothing else; side files of SQLite's included on request. */
export function isOurName(
  name: string,
  base: string,
  kind: OurFile,
  withSideFiles = false,
): boolean {
  const prefix = ourPrefix(base, kind);
  if (!name.startsWith(prefix)) return false;
  const rest = name.slice(prefix.length);
  return (withSideFiles ? /^[0-9a-f]{16}(-wal|-shm|-journal)?$/ : /^[0-9a-f]{16}$/).test(rest);
}
