import type { Manifest } from '../../archive/manifest.ts';
import { serialiseManifest } from '../../archive/manifest-file.ts';
import type { Bucket } from './bucket.ts';
import { confirmArchive, requireListed } from './confirm.ts';
import type { Keys } from './list-bucket.ts';
import { putObject } from './put-object.ts';

/** Last of all, and only once the endpoint has shown the archive; then it has to show the manifest. */
export async function publishManifest(
  bucket: Bucket,
  keys: Keys,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  await confirmArchive(bucket, keys, manifest, signal);
  const parameters = { ...bucket.protection(), ContentType: 'application/json' };
  const bytes = serialiseManifest(manifest);
  await putObject(bucket, keys.manifest(manifest.id), { bytes }, parameters, signal);
  await requireListed(bucket, keys, manifest, signal);
}
