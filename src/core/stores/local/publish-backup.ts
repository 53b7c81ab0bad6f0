import { lstat, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Manifest } from '../../archive/manifest.ts';
import { serialiseManifest } from '../../archive/manifest-file.ts';
import { ensureFolder, syncFile, syncFolder, writeAndSync } from '../../runtime/durable-files.ts';
import { throwIfAborted, toDropbackError } from '../../runtime/errors.ts';
import { copyArchive, requireDigest } from '../file-copy.ts';
import type { ArchiveSource } from '../store.ts';
import { existsAlready } from '../store-errors.ts';
import type { BackupFolder } from './backup-folder.ts';
import { isThere, publishFile } from './publish-file.ts';

/**
 * Archive and manifest under temporary names, then the archive under its own, then the manifest: each
 * step durable before the next. A source that is the spool is moved, any other is copied. On failure
 * the spool stays and nothing is listed.
 */
export async function publishBackup(
  folder: BackupFolder,
  manifest: Manifest,
  archive: ArchiveSource,
  signal: AbortSignal,
): Promise<void> {
  const content = serialiseManifest(manifest);
  const partial = folder.manifestPartialPath(manifest.id);
  const spool = folder.spoolPath(manifest.archive.file);
  const isSpool = resolve(archive.path) === resolve(spool);
  let unlisted = true;
  try {
    await ensureFolder(folder.path);
    await requireFree(folder, manifest);
    if (!isSpool) await copyToSpool(archive, spool, manifest, signal);
    await placePartials(folder, manifest, content);
    throwIfAborted(signal);
    // With the archive in its place there is no way back: the next sweep would list it.
    await publishFile(spool, folder.file(manifest.archive.file));
    unlisted = false;
    await publishFile(partial, folder.manifestPath(manifest.id));
  } catch (error) {
    if (unlisted) await rm(partial, { force: true });
    if (unlisted && !isSpool) await rm(spool, { force: true });
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw existsAlready(manifest.id, folder.path);
    }
    throw toDropbackError(error);
  }
}

async function requireFree(folder: BackupFolder, { id, archive }: Manifest): Promise<void> {
  for (const path of [folder.manifestPath(id), folder.file(archive.file)]) {
    if (await isThere(path)) throw existsAlready(id, folder.path);
  }
}

async function copyToSpool(
  archive: ArchiveSource,
  spool: string,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  // What is under that name is left of an attempt at this same id, which was never listed.
  await rm(spool, { force: true });
  await copyArchive(archive.path, spool, manifest, signal);
}

async function placePartials(
  folder: BackupFolder,
  manifest: Manifest,
  content: Uint8Array,
): Promise<void> {
  const spool = folder.spoolPath(manifest.archive.file);
  await syncFile(spool);
  const { size } = await lstat(spool);
  requireDigest(manifest, { bytes: size, sha256: manifest.archive.sha256 }, spool);
  const partial = folder.manifestPartialPath(manifest.id);
  // Left by an earlier attempt at this same id, which was never listed.
  await rm(partial, { force: true });
  await writeAndSync(partial, content);
  await syncFolder(folder.path);
}
