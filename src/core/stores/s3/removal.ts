import type { Manifest } from '../../archive/manifest.ts';
import { isSameBackup, serialiseManifest } from '../../archive/manifest-file.ts';
import { DropbackError } from '../../runtime/errors.ts';
import { differentManifest, notFound } from '../store-errors.ts';
import type { Bucket } from './bucket.ts';
import { type Keys, readManifest } from './list-bucket.ts';
import { putObject } from './put-object.ts';

/** The manifest first, so that what is listed is whole, then the archive. Missing is fine. */
export async function removeBackup(
  bucket: Bucket,
  keys: Keys,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const { id } = manifest;
  const key = keys.manifest(id);
  const stored = await readManifest(bucket, keys, id, key, signal);
  if (stored) {
    if (!isSameBackup(stored, manifest)) throw differentManifest(id, keys.placeIn(bucket));
    const isNoted = await copyForRemoval(bucket, keys, stored, signal);
    await bucket.deleteSurely(key, signal);
    if (!isNoted) return await bucket.deleteSurely(keys.archive(stored), signal);
  }
  await finishRemoval(bucket, keys, id, signal);
}

/** Finishes what a crash cut short, and returns the ids; one that never began is undone. */
export async function finishRemovals(
  bucket: Bucket,
  keys: Keys,
  signal: AbortSignal,
): Promise<string[]> {
  const found: string[] = [];
  const listed = new Set<string>();
  for await (const { key } of bucket.list(keys.own, signal)) {
    const known = keys.parse(key);
    if (known?.kind === 'manifest-removing') found.push(known.id);
    if (known?.kind === 'manifest') listed.add(known.id);
  }
  const removed: string[] = [];
  for (const id of found) {
    if (listed.has(id) || (await bucket.head(keys.manifest(id), signal))) {
      // Never taken off the list, for want of the right perhaps: the next plan decides anew.
      await bucket.delete(keys.removing(id), signal);
      continue;
    }
    await finishRemoval(bucket, keys, id, signal);
    removed.push(id);
  }
  return removed;
}

/**
 * Under another name, before anything goes: after a crash it tells which archive is to be deleted. False
 * where the bucket has no room for it, which the removal is to make: after a crash a stray stays then.
 */
async function copyForRemoval(
  bucket: Bucket,
  keys: Keys,
  stored: Manifest,
  signal: AbortSignal,
): Promise<boolean> {
  const { id } = stored;
  const key = keys.removing(id);
  const isThere = async () => (await readManifest(bucket, keys, id, key, signal)) !== undefined;
  if (await isThere()) return true;
  const bytes = serialiseManifest(stored);
  try {
    await putObject(bucket, key, { bytes }, {}, signal);
  } catch (error) {
    const code = error instanceof DropbackError ? error.code : undefined;
    if (code === 'store/full') return false;
    // Somebody else is removing it too.
    if (code !== 'store/exists') throw error;
  }
  if (await isThere()) return true;
  throw notFound(key, keys.placeIn(bucket));
}

async function finishRemoval(
  bucket: Bucket,
  keys: Keys,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const key = keys.removing(id);
  const manifest = await readManifest(bucket, keys, id, key, signal);
  if (!manifest) return;
  await bucket.deleteSurely(keys.archive(manifest), signal);
  await bucket.delete(key, signal);
}
