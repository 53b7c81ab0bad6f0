import { unlink } from 'node:fs/promises';
import { syncFolder } from '../../runtime/durable-files.ts';
import type { BackupFolder } from './backup-folder.ts';

/**
 * Deletes the files of a backup that is off the list: the archive that its set-aside manifest
 * names, and last that manifest. Its state stays, for S3 may still list it. Idempotent; without a
 * set-aside manifest nothing is deleted.
 */
export async function finishRemoval(folder: BackupFolder, id: string): Promise<void> {
  const removing = folder.removingPath(id);
  const manifest = await folder.readManifest(removing, id);
  if (!manifest) return;
  await unlinkIfThere(folder.file(manifest.archive.file));
  await syncFolder(folder.path);
  await unlinkIfThere(removing);
  await syncFolder(folder.path);
}

export async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
