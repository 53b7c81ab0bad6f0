import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import type { Manifest } from '../archive/manifest.ts';
import { openExclusive } from '../runtime/durable-files.ts';
import { DropbackError, throwIfAborted } from '../runtime/errors.ts';
import { isAboutReading, unreadable } from './store-errors.ts';

const CHUNK_BYTES = 1024 * 1024;

/** Opens a regular file for reading; a link is refused, and a FIFO doesn't block. */
export async function openRegular(path: string): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw Object.assign(new Error(`not a regular file: ${path}`), { code: 'EINVAL', path });
}

/**
 * Gives the bytes `[start, end)` of a file piece by piece, in a buffer that is used again: flat
 * memory. Ends early, without an error, where the file does.
 */
export async function* readPieces(
  file: FileHandle,
  start: number,
  end: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(CHUNK_BYTES, end - start)));
  for (let at = start; at < end; ) {
    throwIfAborted(signal);
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * The stored file piece by piece, to its end. Throws `store/unreadable` where the disk refuses, and any
 * other error of the system's as it is.
 */
async function* readStored(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  try {
    await using file = await openRegular(path);
    yield* readPieces(file, 0, Number.MAX_SAFE_INTEGER, signal);
  } catch (error) {
    throw isAboutReading(error) ? unreadable(path, error) : error;
  }
}

export interface FileDigest {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** Size and sha256 of a file, read once. */
export async function digestFile(
  path: string,
  signal: AbortSignal,
  onProgress: (bytes: number) => void = () => {},
): Promise<FileDigest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of readStored(path, signal)) {
    hash.update(piece);
    bytes += piece.length;
    onProgress(bytes);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Throws `store/corrupt` unless size and sha256 are the manifest's. */
export function requireDigest(manifest: Manifest, found: FileDigest, where: string): void {
  const { bytes, sha256 } = manifest.archive;
  if (found.bytes === bytes && found.sha256 === sha256) return;
  const what = found.bytes === bytes ? 'its sha256 differs' : `${found.bytes} bytes, not ${bytes}`;
  throw new DropbackError('store/corrupt', `${where} is not what its manifest says: ${what}`, {
    hint: 'use another backup, or the copy in the other store; then look for a failing disk.',
    facts: { id: manifest.id, where, expected: { bytes, sha256 }, found: { ...found } },
  });
}

/** Where an archive arrives piece by piece; `finish` compares it with the manifest. */
export interface ArchiveSink extends AsyncDisposable {
  readonly bytes: number;
  write(piece: Uint8Array): Promise<void>;
  /** Throws `store/corrupt` unless size and sha256 are the manifest's. */
  finish(manifest: Manifest, where: string): Promise<void>;
}

/** Keeps nothing of what arrives but its checksum. */
export class DigestSink implements ArchiveSink {
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  async write(piece: Uint8Array): Promise<void> {
    this.#hash.update(piece);
    this.#bytes += piece.length;
  }

  async finish(manifest: Manifest, where: string): Promise<void> {
    requireDigest(manifest, { bytes: this.#bytes, sha256: this.#hash.digest('hex') }, where);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A new file that arrives in pieces and is hashed on the way. Disposed unfinished, it is removed. */
export class ArrivingFile implements ArchiveSink {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;
  #finished = false;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** Fails with EEXIST where something is already there. */
  static async create(path: string): Promise<ArrivingFile> {
    return new ArrivingFile(path, await openExclusive(path));
  }

  get bytes(): number {
    return this.#bytes;
  }

  async write(piece: Uint8Array): Promise<void> {
    for (let done = 0; done < piece.length; ) {
      const { bytesWritten } = await this.#file.write(piece, done);
      done += bytesWritten;
    }
    this.#hash.update(piece);
    this.#bytes += piece.length;
  }

  /** Compares with the manifest (`store/corrupt`), fsyncs, and from then on the file stays. */
  async finish(manifest: Manifest, where: string): Promise<void> {
    requireDigest(manifest, { bytes: this.#bytes, sha256: this.#hash.digest('hex') }, where);
    await this.#file.sync();
    this.#finished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    if (!this.#finished) await rm(this.#path, { force: true });
  }
}

/** Copies an archive into a new file, compared with the manifest on the way. */
export async function copyArchive(
  from: string,
  to: string,
  manifest: Manifest,
  signal: AbortSignal,
  onProgress: (bytes: number) => void = () => {},
): Promise<void> {
  await using copy = await ArrivingFile.create(to);
  for await (const piece of readStored(from, signal)) {
    await copy.write(piece);
    onProgress(copy.bytes);
  }
  await copy.finish(manifest, from);
}
