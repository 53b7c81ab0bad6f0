import type { FileHandle } from 'node:fs/promises';
import { EndsEarly, NotUnderstood } from '../../core/archive/archive-cursor.ts';
import { OFFSET_NO_DATA, visitArchive } from '../../core/archive/custom-archive.ts';

/**
 * Whether a pg_dump custom archive ends before its last data block; its content isn't read. False as
 * well for what isn't understood (other formats, damage): the full read after the claim judges that.
 */
export async function customArchiveEndsEarly(
  file: FileHandle,
  signal: AbortSignal,
): Promise<boolean> {
  let expected = 0;
  let found = 0;
  try {
    await visitArchive(
      file,
      {
        entry: ({ hasDumper, offsetState }) => {
          if (hasDumper && offsetState !== OFFSET_NO_DATA) expected++;
        },
        block: () => {
          found++;
        },
      },
      signal,
    );
    return found < expected;
  } catch (error) {
    if (error instanceof EndsEarly) return true;
    if (error instanceof NotUnderstood) return false;
    throw error;
  }
}
