import { rm } from 'node:fs/promises';
import { PARTIAL_SUFFIX } from '../../archive/archive-name.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { isSameBackup } from '../../archive/manifest-file.ts';
import { syncFolder } from '../../runtime/durable-files.ts';
import { messageOf } from '../../runtime/errors.ts';
import { digestFile } from '../file-copy.ts';
import type { Stray } from '../store.ts';
import type { BackupFolder, FolderEntry } from './backup-folder.ts';
import { listFolder } from './list-folder.ts';
import { isThere, publishFile } from './publish-file.ts';
import { finishRemoval, unlinkIfThere } from './removal.ts';

/** What a sweep did; ids and file names. */
export interface SweepReport {
  /** Backups that were complete but not yet listed: they are now. */
  readonly rolledForward: readonly string[];
  /** Backups whose removal was finished. */
  readonly removed: readonly string[];
  /** Unfinished files and folders of ours that were deleted. */
  readonly swept: readonly string[];
  /** What lies there and isn't ours to touch. */
  readonly strays: readonly Stray[];
}

/**
 * Finishes what a crash interrupted. A manifest that is written and whose archive, under its
 * partial or final name, has its sha256 is published. Removals are finished. Every other unfinished
 * file or folder of this database is deleted. What has a final name is never deleted here.
 */
export async function sweepFolder(folder: BackupFolder, signal: AbortSignal): Promise<SweepReport> {
  const { ours } = await folder.read();
  const of = (kind: FolderEntry['kind']) => ours.filter((entry) => entry.kind === kind);
  const removed: string[] = [];
  const strays: Stray[] = [];
  for (const { id, file } of of('manifest-removing')) {
    try {
      await finishRemoval(folder, id);
      removed.push(id);
    } catch (error) {
      strays.push({ name: file, reason: messageOf(error) });
    }
  }
  const rolledForward: string[] = [];
  for (const { id } of of('manifest-partial')) {
    if (await rollForward(folder, id, signal)) rolledForward.push(id);
  }
  const swept: string[] = [];
  for (const kind of ['archive-partial', 'manifest-partial', 'temporary'] as const) {
    for (const { file } of of(kind)) {
      if (!(await isThere(folder.file(file)))) continue;
      await unlinkIfThere(folder.file(file));
      swept.push(file);
    }
  }
  for (const { file } of of('archive-partial-folder')) {
    // A program that outlived its daemon may be writing its last file.
    await rm(folder.file(file), { recursive: true, force: true, maxRetries: 5 });
    swept.push(file);
  }
  if (swept.length > 0) await syncFolder(folder.path);
  const listing = await listFolder(folder);
  return { rolledForward, removed, swept, strays: [...strays, ...listing.strays] };
}

/** Publishes a backup whose manifest was written. True if it is listed now and was not before. */
async function rollForward(
  folder: BackupFolder,
  id: string,
  signal: AbortSignal,
): Promise<boolean> {
  const manifest = await readIfIntact(folder, id);
  if (!manifest) return false;
  const listed = folder.manifestPath(id);
  if (await isThere(listed)) return false;
  const final = folder.file(manifest.archive.file);
  if (!(await isThere(final))) {
    const partial = final + PARTIAL_SUFFIX;
    if (!(await holds(partial, manifest, signal))) return false;
    await publishFile(partial, final);
  } else if (!(await holds(final, manifest, signal))) return false;
  await publishFile(folder.manifestPartialPath(id), listed);
  return isSameBackup(manifest, await folder.readManifest(listed, id));
}

async function readIfIntact(folder: BackupFolder, id: string): Promise<Manifest | undefined> {
  try {
    return await folder.readManifest(folder.manifestPartialPath(id), id);
  } catch {
    return undefined;
  }
}

async function holds(path: string, manifest: Manifest, signal: AbortSignal): Promise<boolean> {
  if (!(await isThere(path))) return false;
  const { bytes, sha256 } = await digestFile(path, signal);
  return bytes === manifest.archive.bytes && sha256 === manifest.archive.sha256;
}
