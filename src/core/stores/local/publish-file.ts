import { link, lstat, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../../runtime/durable-files.ts';

/** File systems without hard links (FAT, some network and desktop mounts) answer with these. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * Gives a finished file its final name, durably, and never replaces one: link(2) fails with EEXIST
 * where rename(2) would overwrite. After a crash in between, both names lead to the same file.
 * Without hard links it looks first; the folder has one writer, who holds the database's lock.
 */
export async function publishFile(partial: string, final: string): Promise<void> {
  try {
    await link(partial, final);
    await syncFolder(dirname(final));
    await unlink(partial);
  } catch (error) {
    if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    if (await isThere(final)) {
      throw Object.assign(new Error(`file exists: ${final}`), { code: 'EEXIST', path: final });
    }
    await rename(partial, final);
  }
  await syncFolder(dirname(final));
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
