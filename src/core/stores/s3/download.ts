import type { Manifest } from '../../archive/manifest.ts';
import { DropbackError, errorReport, toDropbackError } from '../../runtime/errors.ts';
import { backoffDelay } from '../../runtime/retry.ts';
import { type ArchiveSink, requireDigest } from '../file-copy.ts';
import { notFound } from '../store-errors.ts';
import type { Bucket } from './bucket.ts';
import { isMissing, isPreconditionFailed } from './errors.ts';

/**
 * Streams an archive into a sink. A connection that breaks is taken up where it broke; attempts
 * are counted anew whenever bytes arrived in good time. The object must stay the same throughout (If-Match).
 */
export async function downloadArchive(
  bucket: Bucket,
  key: string,
  manifest: Manifest,
  sink: ArchiveSink,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const { clock, log, backoff } = bucket.calls.options;
  const etag: { value?: string } = {};
  for (let failures = 0; ; ) {
    const before = sink.bytes;
    try {
      await receive(bucket, key, manifest, sink, etag, signal, onProgress);
      return await sink.finish(manifest, `s3://${bucket.name}/${key}`);
    } catch (error) {
      if (isMissing(error)) throw notFound(manifest.id, `s3://${bucket.name}`);
      if (isPreconditionFailed(error)) throw replaced(key, error);
      const known = toDropbackError(error);
      // What trickles would never come to an end.
      const isOnItsWay = sink.bytes > before && known.code !== 'store/too-slow';
      failures = isOnItsWay ? 1 : failures + 1;
      if (!known.retryable || failures >= backoff.attempts) throw known;
      const delayMs = backoffDelay(backoff, failures);
      log.warn(
        { error: errorReport(known), at: sink.bytes, delayMs },
        'download is taken up again',
      );
      await clock.sleep(delayMs, signal);
    }
  }
}

/** One connection's worth; throws unless it brought everything that was missing. */
async function receive(
  bucket: Bucket,
  key: string,
  manifest: Manifest,
  sink: ArchiveSink,
  etag: { value?: string },
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const { bytes, sha256 } = manifest.archive;
  const from = sink.bytes;
  await bucket.calls.once(
    `download of ${key}`,
    async ({ sdk, client }, abortSignal, { progress }) => {
      const command = new sdk.GetObjectCommand({
        Bucket: bucket.name,
        Key: key,
        ...(from > 0 ? { Range: `bytes=${from}-` } : {}),
        ...(from > 0 && etag.value !== undefined ? { IfMatch: etag.value } : {}),
      });
      const answer = await client.send(command, { abortSignal });
      if (answer.ETag !== undefined) etag.value ??= answer.ETag;
      // An endpoint that doesn't know ranges sends everything again.
      let skip = from > 0 && answer.ContentRange === undefined ? from : 0;
      const body = answer.Body as AsyncIterable<Buffer> & { destroy(): void };
      try {
        for await (const chunk of body) {
          progress.moved(chunk.length);
          const skipped = Math.min(skip, chunk.length);
          skip -= skipped;
          const piece = chunk.subarray(skipped);
          if (piece.length === 0) continue;
          // More than was announced: no reason to fill the disk with it.
          if (sink.bytes + piece.length > bytes) {
            requireDigest(manifest, { bytes: sink.bytes + piece.length, sha256 }, key);
          }
          await progress.excuse(() => sink.write(piece));
          onProgress(sink.bytes);
        }
      } finally {
        body.destroy();
      }
      if (sink.bytes < bytes) throw cutShort(key, sink.bytes, bytes, answer.ContentLength);
    },
    signal,
  );
}

/** A body that is as long as announced but too short is no fault of the connection. */
function cutShort(
  key: string,
  found: number,
  expected: number,
  announced: number | undefined,
): DropbackError {
  const dropped = announced === undefined || announced >= expected;
  return new DropbackError(
    dropped ? 'store/unreachable' : 'store/corrupt',
    `${key} ended at ${found} of ${expected} bytes`,
    {
      hint: 'use another backup if this stays so.',
      retryable: dropped,
      facts: { found, expected },
    },
  );
}

function replaced(key: string, cause: unknown): DropbackError {
  return new DropbackError('store/corrupt', `${key} was replaced while it was read`, {
    hint: 'someone overwrites backups there: look who else writes under that prefix.',
    facts: { key },
    cause,
  });
}
