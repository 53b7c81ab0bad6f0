import type { Manifest } from '../../archive/manifest.ts';
import { isSameBackup } from '../../archive/manifest-file.ts';
import { DropbackError } from '../../runtime/errors.ts';
import { differentManifest, notFound } from '../store-errors.ts';
import type { Bucket } from './bucket.ts';
import { type Keys, readManifest } from './list-bucket.ts';
import { SHA256_METADATA } from './upload-archive.ts';

/** The archive's size and recorded sha256, as the endpoint tells them; nothing of it is read. */
export async function confirmArchive(
  bucket: Bucket,
  keys: Keys,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const key = keys.archive(manifest);
  const found = await bucket.head(key, signal);
  if (found === undefined) throw notFound(manifest.archive.file, keys.placeIn(bucket));
  const { bytes, sha256 } = manifest.archive;
  const recorded = found.Metadata?.[SHA256_METADATA] ?? sha256;
  if (found.ContentLength === bytes && recorded === sha256) return;
  throw new DropbackError('store/corrupt', `${key} is not what its manifest says`, {
    hint: 'use another backup, or the local copy; then look who else writes to that bucket.',
    facts: {
      expected: { bytes, sha256 },
      found: { bytes: found.ContentLength, sha256: recorded },
    },
  });
}

/** Throws unless this very manifest lies there, whole. */
export async function requireListed(
  bucket: Bucket,
  keys: Keys,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const { id } = manifest;
  const stored = await readManifest(bucket, keys, id, keys.manifest(id), signal);
  if (!stored) throw notFound(id, keys.placeIn(bucket));
  if (!isSameBackup(stored, manifest)) throw differentManifest(id, keys.placeIn(bucket));
}
