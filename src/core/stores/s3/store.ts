import type { Manifest } from '../../archive/manifest.ts';
import type { S3Config } from '../../config/config.ts';
import type { CheckResult } from '../../engines/engine.ts';
import type { Logger } from '../../observability/log.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import {
  DropbackError,
  errorReport,
  messageOf,
  throwIfAborted,
  toDropbackError,
} from '../../runtime/errors.ts';
import { RateLimit } from '../../runtime/rate-limit.ts';
import type { Backoff } from '../../runtime/retry.ts';
import { ArrivingFile, DigestSink } from '../file-copy.ts';
import type { ArchiveSource, Listing, Store } from '../store.ts';
import { existsAlready, requireOwnName } from '../store-errors.ts';
import { Bucket } from './bucket.ts';
import { S3Calls } from './calls.ts';
import { s3Checks } from './checks.ts';
import { confirmArchive, requireListed } from './confirm.ts';
import { downloadArchive } from './download.ts';
import { type GrowingFile, GrowingUpload } from './growing-upload.ts';
import { Keys, listBucket } from './list-bucket.ts';
import { partBytesForEstimate, SMALLEST_PART_BYTES } from './part-plan.ts';
import type { Pace } from './progress.ts';
import { publishManifest } from './publish-manifest.ts';
import { finishRemovals, removeBackup } from './removal.ts';
import type { Timeouts } from './sdk.ts';
import { abortStaleUploads } from './stale-uploads.ts';
import { type UploadSettings, uploadArchive } from './upload-archive.ts';

export interface S3StoreOptions {
  readonly log: Logger;
  readonly clock?: Clock;
  /** Set for daemons whose credentials may only read: `checks` writes no probe then. */
  readonly readOnly?: boolean;
  /** Those that are left out are the usual ones. */
  readonly timeouts?: Partial<Timeouts>;
  /** Attempts of each single call. */
  readonly backoff?: Backoff;
  readonly upload?: UploadSettings;
  /** Shared with others; otherwise the store has one of its own where S3_UPLOAD_LIMIT is set. */
  readonly uploadLimit?: RateLimit;
}

/** A kilobyte a second is slower than a poor line that many uploads share. */
const PACE: Pace = { leastBytes: 300_000, withinMs: 300_000 };
/** A slow line may take a minute for what lies in the buffers in between. */
const TIMEOUTS: Timeouts = { connectMs: 10_000, idleMs: 120_000, pace: PACE };
const BACKOFF: Backoff = { firstMs: 500, mostMs: 20_000, attempts: 6 };
const UPLOAD: UploadSettings = { smallestPartBytes: SMALLEST_PART_BYTES, concurrency: 3 };
/** For an archive of which nobody knows how large it will be: room for 280 GiB in 9,000 parts. */
const UNKNOWN_BYTES = 280 * 1024 ** 3;

/** What a sweep found and did in the bucket. */
export interface S3SweepReport {
  /** Keys whose abandoned uploads were given up. */
  readonly abortedUploads: readonly string[];
  /** Backups whose removal was finished. */
  readonly removed: readonly string[];
  /** What could not be done, one line each; nothing that a backup depends on. */
  readonly warnings: readonly string[];
}

/**
 * Backups in S3, or what speaks its protocol, under `<prefix>/<name>/`. See `Store` for the
 * contract. Every call has time-outs and is retried here; uploads are streamed from the file.
 */
export class S3Store implements Store {
  readonly kind = 's3';
  readonly description: string;
  readonly identity: string;
  readonly #bucket: Bucket;
  readonly #keys: Keys;
  readonly #upload: UploadSettings;
  readonly #readOnly: boolean;
  readonly #log: Logger;

  constructor(config: S3Config, name: string, options: S3StoreOptions) {
    const { log, clock = systemClock, backoff = BACKOFF } = options;
    const timeouts = { ...TIMEOUTS, ...options.timeouts };
    const limit = limitOf(config, clock, options.uploadLimit);
    this.#bucket = new Bucket(new S3Calls(config, { clock, log, timeouts, backoff, ...limit }));
    this.#keys = new Keys(config.prefix, name);
    this.#upload = options.upload ?? UPLOAD;
    this.#readOnly = options.readOnly ?? false;
    this.#log = log;
    this.description = this.#keys.placeIn(this.#bucket);
    // Names of buckets are one space in all of AWS, and one at each other endpoint.
    this.identity = `${this.description} at ${config.endpoint ?? 'AWS'}`;
  }

  /** An archive that an earlier attempt at this same backup completed is taken as it is. */
  async publish(manifest: Manifest, archive: ArchiveSource, signal: AbortSignal): Promise<void> {
    await this.#requireFree(manifest, signal);
    const key = this.#keys.archive(manifest);
    await uploadArchive(this.#bucket, key, manifest, archive.path, this.#upload, signal);
    await publishManifest(this.#bucket, this.#keys, manifest, signal);
  }

  /**
   * Begins to send an archive while it is being written; `completeGrowing` ends it well, `abort`
   * (or disposal) otherwise. `expectedBytes`, an upper estimate, decides the size of the parts.
   */
  beginGrowing(
    archiveFile: string,
    source: GrowingFile,
    signal: AbortSignal,
    expectedBytes = UNKNOWN_BYTES,
  ): GrowingUpload {
    const partBytes = partBytesForEstimate(expectedBytes, this.#upload.smallestPartBytes);
    const key = this.#keys.folder + archiveFile;
    return new GrowingUpload(this.#bucket, key, source, partBytes, this.#upload, signal);
  }

  /**
   * Publishes what a growing upload has sent, after the archive was verified locally. Where sending
   * on the way did not work out, `archive` is uploaded in the usual way.
   */
  async completeGrowing(
    growing: GrowingUpload,
    manifest: Manifest,
    archive: ArchiveSource,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#requireFree(manifest, signal);
    } catch (error) {
      await growing.abort();
      throw error;
    }
    if (await this.#finishGrowing(growing, manifest, signal)) {
      return await publishManifest(this.#bucket, this.#keys, manifest, signal);
    }
    await this.publish(manifest, archive, signal);
  }

  async list(signal: AbortSignal): Promise<Listing> {
    return await listBucket(this.#bucket, this.#keys, signal);
  }

  async ids(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const ids = new Set<string>();
    for await (const { key } of this.#bucket.list(this.#keys.own, signal)) {
      const known = this.#keys.parse(key);
      if (known?.kind === 'manifest') ids.add(known.id);
    }
    return ids;
  }

  async lists(id: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#bucket.head(this.#keys.manifest(id), signal)) !== undefined;
  }

  async fetch(
    manifest: Manifest,
    destination: string,
    signal: AbortSignal,
    onProgress: (bytes: number) => void = () => {},
  ): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    await requireListed(this.#bucket, this.#keys, manifest, signal);
    const key = this.#keys.archive(manifest);
    await using file = await ArrivingFile.create(destination).catch((error: unknown) => {
      throw toDropbackError(error);
    });
    await downloadArchive(this.#bucket, key, manifest, file, signal, onProgress);
  }

  async verify(
    manifest: Manifest,
    signal: AbortSignal,
    onProgress: (bytes: number) => void = () => {},
  ): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    await requireListed(this.#bucket, this.#keys, manifest, signal);
    const key = this.#keys.archive(manifest);
    await downloadArchive(this.#bucket, key, manifest, new DigestSink(), signal, onProgress);
  }

  /** Compares the manifest whole, and the archive's size and recorded sha256. */
  async confirm(manifest: Manifest, signal: AbortSignal): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    await requireListed(this.#bucket, this.#keys, manifest, signal);
    await confirmArchive(this.#bucket, this.#keys, manifest, signal);
  }

  async remove(manifest: Manifest, signal: AbortSignal): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    await removeBackup(this.#bucket, this.#keys, manifest, signal);
  }

  /**
   * Finishes removals that a crash interrupted, and gives up uploads of ours that are older than
   * a week. Throws only when aborted: without the rights for it there is a warning.
   */
  async sweep(signal: AbortSignal): Promise<S3SweepReport> {
    const warnings: string[] = [];
    const attempt = async (work: () => Promise<string[]>): Promise<string[]> => {
      try {
        return await work();
      } catch (error) {
        throwIfAborted(signal);
        this.#log.warn({ error: errorReport(error) }, 'the bucket could not be tidied up');
        warnings.push(messageOf(error));
        return [];
      }
    };
    const abortedUploads = await attempt(() => abortStaleUploads(this.#bucket, this.#keys, signal));
    const removed = this.#bucket.calls.config.prune
      ? await attempt(() => finishRemovals(this.#bucket, this.#keys, signal))
      : [];
    return { abortedUploads, removed, warnings };
  }

  async checks(signal: AbortSignal): Promise<CheckResult[]> {
    return await s3Checks(this.#bucket, this.#keys, this.#readOnly, signal);
  }

  /** Closes idle connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bucket.calls.close();
  }

  async #requireFree(manifest: Manifest, signal: AbortSignal): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    const there = await this.#bucket.head(this.#keys.manifest(manifest.id), signal);
    if (there) throw existsAlready(manifest.id, this.description);
  }

  async #finishGrowing(
    growing: GrowingUpload,
    manifest: Manifest,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      return await growing.finish(manifest, signal);
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof DropbackError && error.code === 'store/exists') throw error;
      this.#log.warn({ error: errorReport(error) }, 'the archive is uploaded again, whole');
      return false;
    }
  }
}

function limitOf(
  { uploadBytesPerSecond: most }: S3Config,
  clock: Clock,
  shared: RateLimit | undefined,
): { uploadLimit?: RateLimit } {
  const uploadLimit = shared ?? (most === undefined ? undefined : new RateLimit(most, clock));
  return uploadLimit ? { uploadLimit } : {};
}
