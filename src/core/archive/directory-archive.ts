import { readSync } from 'node:fs';
import { Cursor, readName, type Walk } from './archive-cursor.ts';
import { readHeader, readToc, type TocEntry } from './archive-toc.ts';

export interface DirectoryEntry extends TocEntry {
  /** Of its data, without the ending that tells the compression: `3456.dat`. */
  readonly file: string | undefined;
}

/**
 * The table of contents of a directory that pg_dump wrote; `toc.dat` lies between two positions of
 * the file. Throws NotUnderstood, EndsEarly.
 */
export function readDirectoryTocSync(
  descriptor: number,
  { start, end }: { readonly start: number; readonly end: number },
): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const cursor = new Cursor(end, start);
  const walk = walkToc(cursor, entries);
  while (!walk.next().done) {
    for (const wanted of cursor.refill()) {
      cursor.filled(readSync(descriptor, cursor.window, wanted));
    }
  }
  return entries;
}

function* walkToc(cursor: Cursor, entries: DirectoryEntry[]): Walk<void> {
  const header = yield* readHeader(cursor, 'directory');
  const place = function* (): Walk<Pick<DirectoryEntry, 'file'>> {
    const file = yield* readName(cursor);
    return { file: file === '' ? undefined : file };
  };
  yield* readToc(cursor, header, place, (entry) => entries.push(entry));
}
