import type { FileHandle } from 'node:fs/promises';
import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import type { Manifest } from '../../archive/manifest.ts';
import { DropbackError, throwIfAborted } from '../../runtime/errors.ts';
import { DigestSink, openRegular, requireDigest } from '../file-copy.ts';
import type { Bucket } from './bucket.ts';
import { downloadArchive } from './download.ts';
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
  let isCompleting = false;
  try {
    while (digester.at < bytes) {
      await upload.add(
        await digester.next(Math.min(partBytes, bytes - digester.at), signal),
        signal,
      );
    }
    verify();
    isCompleting = true;
    await upload.complete(signal);
  } catch (error) {
    await upload.abort();
    throwIfAborted(signal);
    // The answer may have been lost, and its ETag tell nothing.
    const isDone = isCompleting && isThereAlready(bucket, key, manifest, file, signal);
    if (await Promise.resolve(isDone).catch(() => false)) return;
    throw error;
  }
}

/** Whether exactly this archive lies there; throws `store/exists` for another object. */
async function isThereAlready(
  bucket: Bucket,
  key: string,
  manifest: Manifest,
  file: FileHandle,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await bucket.head(key, signal);
  if (found === undefined) return false;
  if (found.ContentLength === manifest.archive.bytes) {
    if (await isSame(bucket, key, manifest, found, file, signal)) return true;
  }
  throw new DropbackError('store/exists', `${bucket.name} already has another ${key}`, {
    hint: 'nothing was overwritten; two daemons may write under one BACKUP_NAME and S3_PREFIX.',
    facts: { key, bytes: found.ContentLength ?? null },
  });
}

/**
 * By its ETag where that is made of MD5s, else by the sha256 that it was begun with. One that was begun
 * before its sha256 was known is read back: once, for its manifest is published then.
 */
async function isSame(
  bucket: Bucket,
  key: string,
  manifest: Manifest,
  found: HeadObjectCommandOutput,
  file: FileHandle,
  signal: AbortSignal,
): Promise<boolean> {
  const { bytes, sha256 } = manifest.archive;
  const partBytes = Number(found.Metadata?.[PART_BYTES_METADATA]);
  // Not an object of ours.
  if (!(partBytes > 0)) return false;
  const verdict = compareEtag(found, await etagOf(file, bytes, partBytes, signal));
  if (verdict !== 'unknown') return verdict === 'same';
  const recorded = found.Metadata?.[SHA256_METADATA];
  if (recorded !== undefined) return recorded === sha256;
  bucket.calls.options.log.info({ key }, 'its ETag tells nothing: it is read back');
  try {
    await downloadArchive(bucket, key, manifest, new DigestSink(), signal, () => {});
    return true;
  } catch (error) {
    if (error instanceof DropbackError && error.code === 'store/corrupt') return false;
    throw error;
  }
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
