import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { changed } from './open-drop.ts';

/**
 * Gives `work` the path of the same entry in the folder that is held open: who may write into the
 * drop folder could put a link to another one in the place of `check/` meanwhile, and what we then
 * move away or delete would be somebody else's. Throws `drop/changed` where that has happened.
 */
export async function inPinnedFolder<T>(
  path: Buffer,
  work: (path: Buffer) => Promise<T>,
): Promise<T> {
  const slash = path.lastIndexOf(0x2f);
  await using folder = await openFolder(path.subarray(0, Math.max(1, slash)).toString('utf8'));
  if (process.platform !== 'linux') return await work(path);
  const inside = Buffer.from(`/proc/self/fd/${folder.fd}`);
  return await work(Buffer.concat([inside, path.subarray(slash)]));
}

/** The drop folder itself may be a link of the operator's; what lies in it may not. */
async function openFolder(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const within = basename(path) === CHECK_FOLDER ? O_NOFOLLOW : 0;
  try {
    return await open(path, O_RDONLY | O_DIRECTORY | within);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ELOOP' || code === 'ENOTDIR' || code === 'ENOENT') throw changed();
    throw error;
  }
}

/** In the drop folder: what is dropped there is tested without a swap. */
const CHECK_FOLDER = 'check';
