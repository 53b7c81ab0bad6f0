import type { FileHandle } from 'node:fs/promises';
import type { Manifest } from '../../archive/manifest.ts';
import { abortedError, DropbackError, errorReport } from '../../runtime/errors.ts';
import { openRegular, requireDigest } from '../file-copy.ts';
import type { Bucket } from './bucket.ts';
import { MultipartUpload } from './multipart-upload.ts';
import { PartDigester } from './part-digest.ts';
import { archiveParameters, type UploadSettings } from './upload-archive.ts';

/** S3's own limit; an archive that outgrows it is uploaded again in larger parts. */
const MOST_PARTS = 10_000;

/** A file that something else appends to. */
export interface GrowingFile {
  readonly path: string;
  /**
   * Sizes that the file has reached, 0 where it isn't there yet; ends when it will grow no more. One that
   * shrinks is written anew.
   */
  readonly growth: AsyncIterable<number>;
}

/**
 * Sends the parts of an archive while it is still being written, so that little is left to send
 * when the dump ends. Feeding goes on in the background and never holds up the writer; whatever
 * goes wrong there shows in `finish`. Nothing is visible in the bucket before `finish`.
 */
export class GrowingUpload {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #partBytes: number;
  readonly #settings: UploadSettings;
  readonly #stop = new AbortController();
  readonly #fed: Promise<unknown>;
  #file: FileHandle | undefined;
  #upload: MultipartUpload | undefined;
  #digester: PartDigester | undefined;

  constructor(
    bucket: Bucket,
    key: string,
    source: GrowingFile,
    partBytes: number,
    settings: UploadSettings,
    signal: AbortSignal,
  ) {
    this.#bucket = bucket;
    this.#key = key;
    this.#partBytes = partBytes;
    this.#settings = settings;
    const both = AbortSignal.any([signal, this.#stop.signal]);
    // Kept as a value: a rejection that nobody waits for yet would end the daemon.
    this.#fed = this.#feed(source, both).then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  /**
   * Sends the rest, compares the whole with the manifest and makes the object visible. Call it only
   * once the archive has been verified. Returns false where there is nothing to finish, since the
   * archive is small or the endpoint failed on the way: then it is to be uploaded in the usual way.
   */
  async finish(manifest: Manifest, signal: AbortSignal): Promise<boolean> {
    const stopFeeding = () => this.#stop.abort(signal.reason);
    signal.addEventListener('abort', stopFeeding, { once: true });
    try {
      const failure = await this.#fed;
      if (signal.aborted) throw abortedError(signal);
      const [upload, digester] = [this.#upload, this.#digester];
      if (failure !== undefined || !upload || !digester) {
        if (failure !== undefined) this.#tellGivenUp(failure);
        await this.abort();
        return false;
      }
      // More than one part where the line is slower than the dump: its file has been renamed since.
      await this.#sendWholeParts(upload, digester, manifest.archive.bytes, signal);
      const rest = manifest.archive.bytes - digester.at;
      if (rest > 0) await upload.add(await digester.next(rest, signal), signal);
      const found = { bytes: digester.at, sha256: digester.whole() };
      requireDigest(manifest, found, this.#key);
      await upload.complete(signal);
      this.#upload = undefined;
      return true;
    } finally {
      signal.removeEventListener('abort', stopFeeding);
      await this.abort();
    }
  }

  /** Ends it and deletes what was sent. Idempotent, never throws; no effect once finished. */
  async abort(): Promise<void> {
    this.#stop.abort();
    await this.#fed;
    const [upload, file] = [this.#upload, this.#file];
    this.#upload = undefined;
    this.#file = undefined;
    await upload?.abort();
    await file?.close().catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #tellGivenUp(failure: unknown): void {
    this.#bucket.calls.options.log.warn(
      { error: errorReport(failure), key: this.#key },
      'what was uploaded during the dump is given up: all of it goes up anew',
    );
  }

  async #feed(source: GrowingFile, signal: AbortSignal): Promise<void> {
    for await (const size of untilAborted(source.growth, signal)) {
      if (size < (this.#digester?.at ?? 0)) throw writtenAnew(this.#key);
      if (size === 0) continue;
      this.#file ??= await openRegular(source.path);
      this.#digester ??= new PartDigester(this.#file);
      if (size - this.#digester.at <= this.#partBytes) continue;
      this.#upload ??= await this.#begin(this.#file, signal);
      await this.#sendWholeParts(this.#upload, this.#digester, size, signal);
    }
  }

  /** Of `size` bytes that are there; something is left for the last part, which may be smaller. */
  async #sendWholeParts(
    upload: MultipartUpload,
    digester: PartDigester,
    size: number,
    signal: AbortSignal,
  ): Promise<void> {
    while (size - digester.at > this.#partBytes) {
      if (digester.at / this.#partBytes >= MOST_PARTS - 1) throw outgrown(this.#key);
      await upload.add(await digester.next(this.#partBytes, signal), signal);
    }
  }

  #begin(file: FileHandle, signal: AbortSignal): Promise<MultipartUpload> {
    const parameters = archiveParameters(this.#bucket, this.#partBytes, undefined);
    const { concurrency } = this.#settings;
    return MultipartUpload.begin(this.#bucket, this.#key, file, parameters, concurrency, signal);
  }
}

/** A wait for growth that never comes must not outlive the upload. */
async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const onAbort = () => aborted.reject(abortedError(signal));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise]);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Not awaited: a source that hangs would hang us.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

/** Not the archive's fault: the dump is tried once more. */
function writtenAnew(key: string): DropbackError {
  return new DropbackError('store/refused', `${key} is written anew`, {
    hint: 'nothing to do: it is uploaded whole when it is done.',
    facts: { key },
  });
}

function outgrown(key: string): DropbackError {
  return new DropbackError('store/refused', `${key} outgrew its parts`, {
    hint: 'nothing to do: it is uploaded again in larger parts.',
    facts: { key },
  });
}
