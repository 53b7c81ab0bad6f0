import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { readAt } from '../../core/archive/detect.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import { lookAt } from './scan.ts';

/** A journal that is still to be rolled back begins so; one that is done with has zeros there, or nothing. */
const HOT_JOURNAL = Buffer.from('d9d505f920a163d7', 'hex');

/**
 * Of a SQLite database that was copied with its log or journal (`cp app.db* …`), the file alone is not
 * what the application saw last, and may not even be whole. Throws `drop/with-log`.
 */
export async function requireWithoutLog(source: Buffer): Promise<void> {
  if (!/\.(db|sqlite3?)$/i.test(source.toString('latin1'))) return;
  for (const suffix of ['-wal', '-journal']) {
    if (!(await isInUse(Buffer.concat([source, Buffer.from(suffix)]), suffix))) continue;
    throw new DropbackError(
      'drop/with-log',
      `the file was dropped with its ${suffix}, in which its last changes may be`,
      {
        hint: 'drop one file that has all of them, as `sqlite3 FILE ".backup out.db"` makes it. To do without those changes, remove the other file and drop this one again.',
        facts: { suffix },
      },
    );
  }
}

async function isInUse(path: Buffer, suffix: string): Promise<boolean> {
  const beside = await lookAt(path);
  if (!beside?.isFile() || beside.size === 0n) return false;
  if (suffix !== '-journal') return true;
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  return (await readAt(file, 0, HOT_JOURNAL.length)).equals(HOT_JOURNAL);
}
