import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { PutObjectCommandInput, PutObjectCommandOutput } from '@aws-sdk/client-s3';
import { DropbackError } from '../../runtime/errors.ts';
import type { Bucket } from './bucket.ts';
import { isNotImplemented, isPreconditionFailed } from './errors.ts';
import { compareEtag, plainEtag, requireEtag } from './etag.ts';
import type { Part } from './part-digest.ts';
import { sendRange } from './part-stream.ts';
import { signBody } from './verified-body.ts';

export type PutParameters = Omit<
  PutObjectCommandInput,
  'Bucket' | 'Key' | 'Body' | 'ContentLength' | 'ContentMD5' | 'IfNoneMatch'
>;

/** Bytes in memory, or one range of an open file that is streamed anew for each attempt. */
export type PutBody =
  | { readonly bytes: Uint8Array }
  | { readonly file: FileHandle; readonly part: Part };

/**
 * Creates an object in one request and never replaces one. Where the endpoint doesn't know
 * If-None-Match, the caller's look beforehand is all there is. Throws `store/exists` for an object
 * that is there already, unless it is what an earlier attempt stored though its answer was lost.
 */
export async function putObject(
  bucket: Bucket,
  key: string,
  body: PutBody,
  parameters: PutParameters,
  signal: AbortSignal,
): Promise<void> {
  const { length, md5, sha256 } = digestOf(body);
  const { uploadLimit } = bucket.calls.options;
  const send = async (conditional: boolean): Promise<PutObjectCommandOutput | 'ours'> =>
    await bucket.calls.run(
      `upload of ${key}`,
      async ({ sdk, client }, abortSignal, { number, progress }) => {
        const put = (Body: Readable | Uint8Array, ended: AbortSignal) => {
          const command = new sdk.PutObjectCommand({
            ...parameters,
            Bucket: bucket.name,
            Key: key,
            Body,
            ContentLength: length,
            ContentMD5: md5.toString('base64'),
            ...(conditional ? { IfNoneMatch: '*' } : {}),
          });
          signBody(command, sha256);
          return client.send(command, { abortSignal: ended });
        };
        try {
          if ('bytes' in body) return await put(body.bytes, abortSignal);
          if (length === 0) return await put(new Uint8Array(), abortSignal);
          return await sendRange(body.file, body.part, abortSignal, progress, put, uploadLimit);
        } catch (error) {
          const { $metadata } = error as { $metadata?: { httpStatusCode?: number } };
          // What an earlier attempt stored, before its answer was lost?
          if ($metadata?.httpStatusCode === 412 && number > 1) return 'ours';
          throw error;
        }
      },
      signal,
    );
  let answer: PutObjectCommandOutput | 'ours';
  try {
    answer = await send(true);
  } catch (error) {
    if (isPreconditionFailed(error)) throw occupied(key, bucket.name, error);
    if (!isNotImplemented(error)) throw error;
    answer = await send(false);
  }
  const etag = plainEtag(md5);
  if (answer === 'ours') return await requireOurs(bucket, key, body, parameters, signal);
  if (compareEtag(answer, etag) !== 'different') return;
  // It was created by this very call, so nobody else's object is deleted.
  await bucket.delete(key, signal).catch(() => {});
  requireEtag(answer, etag, key);
}

/** By its ETag; where that tells nothing, by what was recorded with it, or its content if it is small. */
async function requireOurs(
  bucket: Bucket,
  key: string,
  body: PutBody,
  { Metadata }: PutParameters,
  signal: AbortSignal,
): Promise<void> {
  const { length, md5 } = digestOf(body);
  const found = await bucket.head(key, signal);
  const verdict =
    found?.ContentLength === length ? compareEtag(found, plainEtag(md5)) : 'different';
  if (verdict === 'same') return;
  if (verdict === 'unknown' && 'bytes' in body) {
    const stored = await bucket.read(key, signal);
    if (stored !== undefined && Buffer.from(body.bytes).equals(stored)) return;
  } else if (verdict === 'unknown' && Metadata) {
    const isOurs = Object.entries(Metadata).every(
      ([name, said]) => found?.Metadata?.[name] === said,
    );
    if (isOurs) return;
  }
  throw occupied(key, bucket.name);
}

function occupied(key: string, bucket: string, cause?: unknown): DropbackError {
  return new DropbackError('store/exists', `${bucket} already has ${key}`, {
    hint: 'nothing was overwritten; if that is this same backup, confirm it instead.',
    facts: { key, bucket },
    cause,
  });
}

function digestOf(body: PutBody): { length: number; md5: Buffer; sha256: string } {
  if ('part' in body) {
    const { start, end, md5, sha256 } = body.part;
    return { length: end - start, md5, sha256 };
  }
  const md5 = createHash('md5').update(body.bytes).digest();
  const sha256 = createHash('sha256').update(body.bytes).digest('hex');
  return { length: body.bytes.length, md5, sha256 };
}
