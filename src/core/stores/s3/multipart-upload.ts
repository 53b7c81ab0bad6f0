import type { FileHandle } from 'node:fs/promises';
import { DropbackError, errorReport, throwIfAborted } from '../../runtime/errors.ts';
import type { Bucket } from './bucket.ts';
import { isMissing, isNotImplemented, isPreconditionFailed } from './errors.ts';
import { compareEtag, multipartEtag, plainEtag, requireEtag } from './etag.ts';
import type { Part } from './part-digest.ts';
import { sendRange } from './part-stream.ts';
import type { PutParameters } from './put-object.ts';
import { signBody } from './verified-body.ts';

/** How long giving up an upload may take; the parts of one that stays cost money. */
const ABORT_TIMEOUT_MS = 30_000;

interface SentPart {
  readonly part: Part;
  readonly etag: string | undefined;
}

/**
 * One multipart upload. Parts are streamed from the open file, a few at a time; nothing is visible
 * in the bucket before `complete`. Whoever begins one completes or aborts it.
 */
export class MultipartUpload {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #uploadId: string;
  readonly #file: FileHandle;
  readonly #concurrency: number;
  readonly #sent: SentPart[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #failed = new AbortController();
  #failure: unknown;

  private constructor(
    bucket: Bucket,
    key: string,
    uploadId: string,
    file: FileHandle,
    concurrency: number,
  ) {
    this.#bucket = bucket;
    this.#key = key;
    this.#uploadId = uploadId;
    this.#file = file;
    this.#concurrency = concurrency;
  }

  static async begin(
    bucket: Bucket,
    key: string,
    file: FileHandle,
    parameters: PutParameters,
    concurrency: number,
    signal: AbortSignal,
  ): Promise<MultipartUpload> {
    const { UploadId } = await bucket.calls.run(
      `beginning the upload of ${key}`,
      ({ sdk, client }, abortSignal) => {
        const input = { ...parameters, Bucket: bucket.name, Key: key };
        return client.send(new sdk.CreateMultipartUploadCommand(input), { abortSignal });
      },
      signal,
    );
    if (UploadId !== undefined) {
      return new MultipartUpload(bucket, key, UploadId, file, concurrency);
    }
    throw new DropbackError('store/unreachable', `the endpoint began no upload of ${key}`, {
      hint: 'its answer has no upload id; look for an update of the endpoint.',
      retryable: true,
    });
  }

  /** Starts sending a part as soon as there is a free place. Throws what an earlier part met. */
  async add(part: Part, signal: AbortSignal): Promise<void> {
    while (this.#running.size >= this.#concurrency) await Promise.race(this.#running);
    this.#throwFailure();
    throwIfAborted(signal);
    const both = AbortSignal.any([signal, this.#failed.signal]);
    const task = this.#send(part, both)
      .catch((error: unknown) => {
        this.#failure ??= error;
        this.#failed.abort(error);
      })
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /**
   * Waits for the parts and makes the object visible. An answer that is lost is made good by a look
   * at the object. Throws `store/exists` where another one is there, `store/corrupt` where what was
   * put together isn't what was sent.
   */
  async complete(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#running);
    this.#throwFailure();
    try {
      await this.#complete(true, signal).catch((error: unknown) => {
        if (isNotImplemented(error)) return this.#complete(false, signal);
        throw error;
      });
    } catch (error) {
      throwIfAborted(signal);
      if (await this.#isThere(signal)) return;
      if (isPreconditionFailed(error)) throw this.#occupied(error);
      throw error;
    }
    const found = await this.#bucket.head(this.#key, signal);
    if (found === undefined) throw this.#vanished();
    if (found.ContentLength === this.#bytes && compareEtag(found, this.#etag) !== 'different')
      return;
    await this.#bucket.delete(this.#key, signal).catch(() => {});
    throw new DropbackError('store/corrupt', `${this.#key} was put together wrongly`, {
      hint: 'the endpoint confirmed every part and then stored something else: do not trust it.',
      facts: {
        expected: this.#bytes,
        found: found.ContentLength ?? null,
        etag: found.ETag ?? null,
      },
    });
  }

  /** Gives up: parts that were sent are deleted. Never throws; what fails is logged. */
  async abort(): Promise<void> {
    this.#failed.abort();
    await Promise.all(this.#running);
    try {
      await this.#bucket.calls.run(
        `giving up the upload of ${this.#key}`,
        ({ sdk, client }, abortSignal) => {
          const input = { Bucket: this.#bucket.name, Key: this.#key, UploadId: this.#uploadId };
          return client.send(new sdk.AbortMultipartUploadCommand(input), { abortSignal });
        },
        AbortSignal.timeout(ABORT_TIMEOUT_MS),
      );
    } catch (error) {
      if (isMissing(error)) return;
      this.#bucket.calls.options.log.warn(
        { error: errorReport(error), key: this.#key },
        'parts of a failed upload stay in the bucket until the next start',
      );
    }
  }

  async #send(part: Part, signal: AbortSignal): Promise<void> {
    const what = `upload of part ${part.number} of ${this.#key}`;
    const etag = await this.#bucket.calls.run(
      what,
      ({ sdk, client }, abortSignal, { progress }) =>
        sendRange(
          this.#file,
          part,
          abortSignal,
          progress,
          async (Body, ended) => {
            const command = new sdk.UploadPartCommand({
              Bucket: this.#bucket.name,
              Key: this.#key,
              UploadId: this.#uploadId,
              PartNumber: part.number,
              Body,
              ContentLength: part.end - part.start,
              ContentMD5: part.md5.toString('base64'),
            });
            signBody(command, part.sha256);
            const answer = await client.send(command, { abortSignal: ended });
            requireEtag(answer, plainEtag(part.md5), what);
            return answer.ETag;
          },
          this.#bucket.calls.options.uploadLimit,
        ),
      signal,
    );
    this.#sent.push({ part, etag });
  }

  async #complete(conditional: boolean, signal: AbortSignal): Promise<void> {
    const sorted = this.#sent.toSorted((a, b) => a.part.number - b.part.number);
    const parts = sorted.map(({ part, etag }) => ({ PartNumber: part.number, ETag: etag }));
    await this.#bucket.calls.run(
      `completion of ${this.#key}`,
      ({ sdk, client }, abortSignal) => {
        const command = new sdk.CompleteMultipartUploadCommand({
          Bucket: this.#bucket.name,
          Key: this.#key,
          UploadId: this.#uploadId,
          MultipartUpload: { Parts: parts },
          ...(conditional ? { IfNoneMatch: '*' } : {}),
        });
        return client.send(command, { abortSignal });
      },
      signal,
    );
  }

  /** Whether the object is there and made of exactly these parts. */
  async #isThere(signal: AbortSignal): Promise<boolean> {
    const found = await this.#bucket.head(this.#key, signal).catch(() => undefined);
    return found?.ContentLength === this.#bytes && compareEtag(found, this.#etag) === 'same';
  }

  get #bytes(): number {
    return this.#sent.reduce((sum, { part }) => sum + part.end - part.start, 0);
  }

  get #etag(): string {
    const sorted = this.#sent.toSorted((a, b) => a.part.number - b.part.number);
    return multipartEtag(sorted.map(({ part }) => part.md5));
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #occupied(cause: unknown): DropbackError {
    return new DropbackError('store/exists', `${this.#bucket.name} already has ${this.#key}`, {
      hint: 'nothing was overwritten; if that is this same backup, confirm it instead.',
      facts: { key: this.#key },
      cause,
    });
  }

  #vanished(): DropbackError {
    return new DropbackError('store/unreachable', `${this.#key} is not there after its upload`, {
      hint: 'the endpoint confirmed the upload and does not have it: it is tried again.',
      retryable: true,
      facts: { key: this.#key },
    });
  }
}
