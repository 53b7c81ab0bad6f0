import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { DropbackError } from '../../runtime/errors.ts';

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
 * stream of node:fs would close it when destroyed), and a rename of it does no harm.
 */
export async function sendRange<T>(
  file: FileHandle,
  range: FileRange,
  signal: AbortSignal,
  send: (body: Readable, abortSignal: AbortSignal) => Promise<T>,
): Promise<T> {
  const broken = new AbortController();
  const body = Readable.from(chunks(file, range), { objectMode: false });
  let failure: unknown;
  body.on('error', (error) => {
    failure = error;
    broken.abort(error);
  });
  try {
    return await send(body, AbortSignal.any([signal, broken.signal]));
  } catch (error) {
    throw failure ?? error;
  } finally {
    body.destroy();
  }
}

async function* chunks(file: FileHandle, { start, end }: FileRange): AsyncGenerator<Buffer> {
  for (let at = start; at < end; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at));
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
