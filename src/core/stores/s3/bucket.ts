import type {
  HeadObjectCommandOutput,
  ListObjectsV2CommandOutput,
  ObjectLockMode,
} from '@aws-sdk/client-s3';
import { LARGEST_MANIFEST_BYTES } from '../../archive/manifest-file.ts';
import { DropbackError } from '../../runtime/errors.ts';
import type { S3Calls } from './calls.ts';
import { isMissing } from './errors.ts';
import type { Progress } from './progress.ts';

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
}

/** The simple calls on one bucket: look, read, delete, list. What is missing is undefined. */
export class Bucket {
  readonly calls: S3Calls;
  readonly name: string;

  constructor(calls: S3Calls) {
    this.calls = calls;
    this.name = calls.config.bucket;
  }

  async head(key: string, signal: AbortSignal): Promise<HeadObjectCommandOutput | undefined> {
    try {
      return await this.calls.run(
        `looking at ${key}`,
        ({ sdk, client }, abortSignal) =>
          client.send(new sdk.HeadObjectCommand({ Bucket: this.name, Key: key }), { abortSignal }),
        signal,
      );
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** A small object, whole. Throws `store/corrupt` for one larger than any manifest. */
  async read(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      return await this.calls.run(
        `reading ${key}`,
        async ({ sdk, client }, abortSignal, { progress }) => {
          const command = new sdk.GetObjectCommand({ Bucket: this.name, Key: key });
          const { Body } = await client.send(command, { abortSignal });
          const body = Body as (AsyncIterable<Uint8Array> & Destroyable) | undefined;
          return await readBounded(key, body, progress);
        },
        signal,
      );
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Missing is fine. */
  async delete(key: string, signal: AbortSignal): Promise<void> {
    try {
      await this.calls.run(
        `deleting ${key}`,
        ({ sdk, client }, abortSignal) =>
          client.send(new sdk.DeleteObjectCommand({ Bucket: this.name, Key: key }), {
            abortSignal,
          }),
        signal,
      );
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /** Deletes and looks whether it is gone: what is deleted next may rest on that. */
  async deleteSurely(key: string, signal: AbortSignal): Promise<void> {
    await this.delete(key, signal);
    if ((await this.head(key, signal)) === undefined) return;
    throw new DropbackError('store/unreachable', `${key} is still there after its deletion`, {
      hint: 'the endpoint confirmed a deletion that it did not carry out: it is tried again.',
      retryable: true,
      facts: { key },
    });
  }

  /** Every object below a prefix, page by page, in order of keys. */
  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
    let token: string | undefined;
    do {
      const page = await this.calls.run(
        `listing ${prefix}`,
        async ({ sdk, client }, abortSignal) => {
          const from = token === undefined ? {} : { ContinuationToken: token };
          const input = { Bucket: this.name, Prefix: prefix, ...from };
          const answer = await client.send(new sdk.ListObjectsV2Command(input), { abortSignal });
          if (!isListing(answer)) throw noListing(prefix);
          return answer;
        },
        signal,
      );
      for (const { Key, Size } of page.Contents ?? []) {
        if (Key !== undefined) yield { key: Key, bytes: Size ?? 0 };
      }
      token = nextToken(page.IsTruncated, page.NextContinuationToken, token, prefix);
    } while (token !== undefined);
  }

  /** Parameters that every object of a backup is stored with. */
  protection(): {
    ServerSideEncryption?: 'AES256' | 'aws:kms' | 'aws:kms:dsse';
    SSEKMSKeyId?: string;
    ObjectLockMode?: ObjectLockMode;
    ObjectLockRetainUntilDate?: Date;
  } {
    const { serverSideEncryption, kmsKeyId, objectLock } = this.calls.config;
    const now = this.calls.options.clock.now().getTime();
    return {
      ...(serverSideEncryption === undefined
        ? {}
        : { ServerSideEncryption: serverSideEncryption as 'AES256' | 'aws:kms' | 'aws:kms:dsse' }),
      ...(kmsKeyId === undefined ? {} : { SSEKMSKeyId: kmsKeyId }),
      ...(objectLock === undefined
        ? {}
        : {
            ObjectLockMode: objectLock.mode,
            ObjectLockRetainUntilDate: new Date(now + objectLock.days * 86_400_000),
          }),
    };
  }
}

interface Destroyable {
  destroy(): void;
}

/** The size isn't always told beforehand: a proxy may have packed it on the way. */
async function readBounded(
  key: string,
  body: (AsyncIterable<Uint8Array> & Destroyable) | undefined,
  progress: Progress,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const piece of body ?? []) {
      bytes += piece.length;
      progress.moved(piece.length);
      if (bytes > LARGEST_MANIFEST_BYTES) throw tooLarge(key);
      pieces.push(piece);
    }
  } finally {
    body?.destroy();
  }
  return Buffer.concat(pieces);
}

/** Any other answer with 200, such as a proxy's own page, would read as an empty bucket. */
function isListing({ Name, IsTruncated, KeyCount, MaxKeys }: ListObjectsV2CommandOutput): boolean {
  return [Name, IsTruncated, KeyCount, MaxKeys].some((told) => told !== undefined);
}

function noListing(prefix: string): DropbackError {
  return new DropbackError('store/unreachable', `the answer to listing ${prefix} is no listing`, {
    hint: 'something else than S3 answered: check S3_ENDPOINT, and proxies in between.',
    retryable: true,
    facts: { prefix },
  });
}

/** A listing that says "more" without saying where, or the same place again, would never end. */
function nextToken(
  isTruncated: boolean | undefined,
  next: string | undefined,
  previous: string | undefined,
  prefix: string,
): string | undefined {
  if (!isTruncated) return undefined;
  if (next !== undefined && next !== previous) return next;
  throw new DropbackError('store/unreachable', `the endpoint's listing of ${prefix} is broken`, {
    hint: 'it says that there is more but not where; look for an update of the endpoint.',
    facts: { prefix },
  });
}

function tooLarge(key: string): DropbackError {
  return new DropbackError('store/corrupt', `${key} is too large to be a manifest`, {
    hint: 'someone stored something else under that name: move it away.',
    facts: { key },
  });
}
