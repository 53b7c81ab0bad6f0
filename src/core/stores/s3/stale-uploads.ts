import { throwIfAborted } from '../../runtime/errors.ts';
import type { Bucket } from './bucket.ts';
import { isMissing } from './errors.ts';
import type { Keys } from './list-bucket.ts';

/** An upload of ours that is older than this was left behind; with S3_UPLOAD_LIMIT one may take days. */
const STALE_MS = 7 * 86_400_000;

interface StaleUpload {
  readonly key: string;
  readonly uploadId: string;
}

/**
 * Deletes the parts of our own uploads that nobody will complete: archives of this database, begun
 * more than a week ago. Returns their keys. Throws where the credentials don't allow it; what
 * stays costs storage and nothing else.
 */
export async function abortStaleUploads(
  bucket: Bucket,
  keys: Keys,
  signal: AbortSignal,
): Promise<string[]> {
  const before = bucket.calls.options.clock.now().getTime() - STALE_MS;
  const stale: StaleUpload[] = [];
  for await (const upload of unfinished(bucket, keys.folder, signal)) {
    const ours = keys.parse(upload.key)?.kind === 'archive';
    if (ours && upload.begun !== undefined && upload.begun < before) stale.push(upload);
  }
  for (const { key, uploadId } of stale) {
    throwIfAborted(signal);
    await abort(bucket, key, uploadId, signal);
  }
  return stale.map(({ key }) => key);
}

async function abort(
  bucket: Bucket,
  key: string,
  uploadId: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await bucket.calls.run(
      `giving up the old upload of ${key}`,
      ({ sdk, client }, abortSignal) => {
        const input = { Bucket: bucket.name, Key: key, UploadId: uploadId };
        return client.send(new sdk.AbortMultipartUploadCommand(input), { abortSignal });
      },
      signal,
    );
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function* unfinished(
  bucket: Bucket,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<StaleUpload & { begun: number | undefined }> {
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const page = await bucket.calls.run(
      `listing the uploads of ${prefix}`,
      ({ sdk, client }, abortSignal) => {
        const input = { Bucket: bucket.name, Prefix: prefix, ...marker };
        return client.send(new sdk.ListMultipartUploadsCommand(input), { abortSignal });
      },
      signal,
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined) continue;
      yield { key: Key, uploadId: UploadId, begun: Initiated?.getTime() };
    }
    const { NextKeyMarker, NextUploadIdMarker } = page;
    if (!page.IsTruncated || NextKeyMarker === undefined) return;
    if (NextKeyMarker === marker.KeyMarker && NextUploadIdMarker === marker.UploadIdMarker) return;
    marker = {
      KeyMarker: NextKeyMarker,
      ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
    };
  }
}
