import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { DropbackError } from '../../runtime/errors.ts';
import type { RateLimit } from '../../runtime/rate-limit.ts';
import type { Progress } from './progress.ts';

/** Of these, a few are in memory for each part on the way. */
const CHUNK_BYTES = 128 * 1024;

export interface FileRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/**
 * Gives `send` a range of an open file as a stream, and ends the request when the file cannot be
 * read: a stream that fails would otherwise leave it waiting for the rest. The file stays open (a
 * stream of node:fs would close it when destroyed), and a rename of it does no harm. `limit`: what is
 * read waits for its turn, which the endpoint isn't blamed for.
 */
export async function sendRange<T>(
  file: FileHandle,
  range: FileRange,
  signal: AbortSignal,
  progress: Progress,
  send: (body: Readable, abortSignal: AbortSignal) => Promise<T>,
  limit?: RateLimit,
): Promise<T> {
  const broken = new AbortController();
  const ended = AbortSignal.any([signal, broken.signal]);
  const pieces = limit
    ? paced(file, range, limit, progress, ended)
    : chunks(file, range, CHUNK_BYTES);
  const body = Readable.from(told(pieces, progress), { objectMode: false });
  let failure: unknown;
  body.on('error', (error) => {
    failure = error;
    broken.abort(error);
  });
  try {
    return await send(body, ended);
  } catch (error) {
    throw failure ?? error;
  } finally {
    // A piece that is waited for is nobody's any more.
    broken.abort();
    body.destroy();
  }
}

async function* paced(
  file: FileHandle,
  range: FileRange,
  limit: RateLimit,
  progress: Progress,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for await (const piece of chunks(file, range, limit.pieceBytes)) {
    await progress.excuse(() => limit.take(piece.length, signal));
    yield piece;
  }
}

/** A piece has moved when the next one is asked for. */
async function* told(pieces: AsyncGenerator<Buffer>, progress: Progress): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    yield piece;
    progress.moved(piece.length);
  }
  progress.beginAnew();
}

async function* chunks(
  file: FileHandle,
  { start, end }: FileRange,
  pieceBytes: number,
): AsyncGenerator<Buffer> {
  for (let at = start; at < end; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, end - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw cutShort(end, at);
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

export function cutShort(expected: number, found: number): DropbackError {
  return new DropbackError('store/corrupt', `the archive ends at ${found}, not at ${expected}`, {
    hint: 'it was cut while it was read: look for another program that writes there, and the disk.',
    facts: { expected, found },
  });
}
