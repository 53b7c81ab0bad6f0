import { isWorkingCopy, parseArchiveId } from '../../archive/archive-name.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { isAhead } from '../../archive/newest.ts';
import { messageOf } from '../../runtime/errors.ts';
import type { Listing, Stray } from '../store.ts';
import { isAboutReading } from '../store-errors.ts';
import type { BackupFolder, FolderEntry } from './backup-folder.ts';

/** What is listed, and what else lies there. Writes nothing: the folder may be read-only. */
export async function listFolder(folder: BackupFolder): Promise<Listing> {
  const { ours, foreign } = await folder.read();
  const backups: Manifest[] = [];
  const strays: Stray[] = foreign
    .filter((name) => !isWorkingCopy(name))
    .map((name) => ({ name, reason: 'not a file of a backup of this database' }));
  const named = new Set<string>();
  for (const entry of ours.filter(({ kind }) => kind === 'manifest')) {
    try {
      const manifest = await folder.readManifest(folder.file(entry.file), entry.id);
      if (!manifest) continue;
      named.add(manifest.archive.file);
      const reason = await archiveProblem(folder, manifest);
      if (reason === undefined) backups.push(manifest);
      // Looked at again: it may have been removed while the folder was read.
      else if ((await folder.sizeOf(folder.file(entry.file))) !== undefined) {
        strays.push({ name: entry.file, reason });
      }
    } catch (error) {
      const unreadable = isAboutReading(error) ? { unreadable: true } : {};
      strays.push({ name: entry.file, reason: messageOf(error), ...unreadable });
    }
  }
  const removing = new Set(
    ours.filter(({ kind }) => kind === 'manifest-removing').map(({ id }) => id),
  );
  for (const entry of ours.filter(({ kind }) => kind === 'archive')) {
    if (named.has(entry.file) || removing.has(entry.id)) continue;
    const reason = await orphanReason(folder, entry);
    if (reason !== undefined) strays.push({ name: entry.file, reason });
  }
  return { backups, strays };
}

/** Names sort by time: the last one that is whole, see `newestOf`. */
export async function newestIn(folder: BackupFolder, now: Date): Promise<Manifest | undefined> {
  const manifests = (await folder.read()).ours.filter(({ kind }) => kind === 'manifest');
  const ahead = manifests.filter(({ id }) => isAhead(parseArchiveId(id)?.at ?? now, now));
  const usual = manifests.slice(0, manifests.length - ahead.length);
  for (const { id, file } of [...usual.toReversed(), ...ahead.toReversed()]) {
    const manifest = await folder.readManifest(folder.file(file), id).catch(() => undefined);
    if (manifest && (await archiveProblem(folder, manifest)) === undefined) return manifest;
  }
  return undefined;
}

async function archiveProblem(
  folder: BackupFolder,
  manifest: Manifest,
): Promise<string | undefined> {
  const size = await folder.sizeOf(folder.file(manifest.archive.file));
  if (size === manifest.archive.bytes) return undefined;
  return size === undefined
    ? 'manifest without its archive'
    : `its archive has ${size} bytes, not ${manifest.archive.bytes}`;
}

/** Why an archive that no manifest names lies there; undefined if that was only for a moment. */
async function orphanReason(
  folder: BackupFolder,
  { id, file }: FolderEntry,
): Promise<string | undefined> {
  // Looked at again: it may have been published, or removed, while the folder was read.
  if ((await folder.sizeOf(folder.file(file))) === undefined) return undefined;
  try {
    const manifest = await folder.readManifest(folder.manifestPath(id), id);
    if (!manifest) return 'archive without a manifest';
    return manifest.archive.file === file ? undefined : 'archive that its manifest does not name';
  } catch {
    return 'archive whose manifest is damaged';
  }
}
