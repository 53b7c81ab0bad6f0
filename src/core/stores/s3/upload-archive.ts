import type { FileHandle } from 'node:fs/promises';
import type { Manifest } from '../../archive/manifest.ts';
import { DropbackError } from '../../runtime/errors.ts';
import { openRegular, requireDigest } from '../file-copy.ts';
import type { Bucket } from './bucket.ts';
import { compareEtag, multipartEtag, plainEtag } from './etag.ts';
import { MultipartUpload } from './multipart-upload.ts';
import { PartDigester } from './part-digest.ts';
import { partBytesFor } from './part-plan.ts';
import { type PutParameters, putObject } from './put-object.ts';

/** User metadata of an archive in S3. */
export const SHA256_METADATA = 'dropback-sha256';
export const PART_BYTES_METADATA = 'dropback-part-bytes';

export interface UploadSettings {
  readonly smallestPartBytes: number;
  /** Parts on the way at a time. */
  readonly concurrency: number;
}

export function archiveParameters(
  bucket: Bucket,
  partBytes: number,
  sha256: string | undefined,
): PutParameters {
  const { storageClass } = bucket.calls.config;
  return {
    ...bucket.protection(),
    ContentType: 'application/octet-stream',
    Metadata: {
      [PART_BYTES_METADATA]: String(partBytes),
      ...(sha256 === undefined ? {} : { [SHA256_METADATA]: sha256 }),
    },
    ...(storageClass === undefined ? {} : { StorageClass: storageClass as 'STANDARD' }),
  };
}

/**
 * Stores an archive file under `key`, in one piece or in parts, and compares it with the manifest
 * on the way. What an earlier attempt completed is recognised by its content and left as it is;
 * anything else there is `store/exists`.
 */
export async function uploadArchive(
  bucket: Bucket,
  key: string,
  manifest: Manifest,
  path: string,
  settings: UploadSettings,
  signal: AbortSignal,
): Promise<void> {
  await using file = await openRegular(path);
  const { bytes, sha256 } = manifest.archive;
  requireDigest(manifest, { bytes: (await file.stat()).size, sha256 }, path);
  if (await isThereAlready(bucket, key, manifest, file, signal)) return;
  const partBytes = partBytesFor(bytes, settings.smallestPartBytes);
  const parameters = archiveParameters(bucket, partBytes, sha256);
  const digester = new PartDigester(file);
  const verify = () =>
    requireDigest(manifest, { bytes: digester.at, sha256: digester.whole() }, path);
  if (bytes <= partBytes) {
    const part = await digester.next(bytes, signal);
    verify();
    await putObject(bucket, key, { file, part }, parameters, signal);
    return;
  }
  const { concurrency } = settings;
  const upload = await MultipartUpload.begin(bucket, key, file, parameters, concurrency, signal);
  try {
    while (digester.at < bytes) {
      await upload.add(
        await digester.next(Math.min(partBytes, bytes - digester.at), signal),
        signal,
      );
    }
    verify();
    await upload.complete(signal);
  } catch (error) {
    await upload.abort();
    throw error;
  }
}

/** Whether exactly this archive lies there; throws `store/exists` for another object. */
async function isThereAlready(
  bucket: Bucket,
  key: string,
  { archive }: Manifest,
  file: FileHandle,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await bucket.head(key, signal);
  if (found === undefined) return false;
  if (found.ContentLength === archive.bytes) {
    const partBytes = Number(found.Metadata?.[PART_BYTES_METADATA]);
    const etag = partBytes > 0 ? await etagOf(file, archive.bytes, partBytes, signal) : undefined;
    const verdict = etag === undefined ? 'unknown' : compareEtag(found, etag);
    if (verdict === 'same') return true;
    if (verdict === 'unknown' && found.Metadata?.[SHA256_METADATA] === archive.sha256) return true;
  }
  throw new DropbackError('store/exists', `${bucket.name} already has another ${key}`, {
    hint: 'nothing was overwritten; two daemons may write under one BACKUP_NAME and S3_PREFIX.',
    facts: { key, bytes: found.ContentLength ?? null },
  });
}

/** The ETag that this file has when it is uploaded in parts of that size. */
async function etagOf(
  file: FileHandle,
  bytes: number,
  partBytes: number,
  signal: AbortSignal,
): Promise<string> {
  const digester = new PartDigester(file);
  const md5s: Buffer[] = [];
  do {
    md5s.push((await digester.next(Math.min(partBytes, bytes - digester.at), signal)).md5);
  } while (digester.at < bytes);
  const [only] = md5s;
  return md5s.length === 1 && only ? plainEtag(only) : multipartEtag(md5s);
}
