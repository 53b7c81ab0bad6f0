import type { Manifest } from '../../archive/manifest.ts';
import { isSameBackup, serialiseManifest } from '../../archive/manifest-file.ts';
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
import { differentManifest, existsAlready, notFound, requireOwnName } from '../store-errors.ts';
import { Bucket } from './bucket.ts';
import { S3Calls } from './calls.ts';
import { s3Checks } from './checks.ts';
import { downloadArchive } from './download.ts';
import { type GrowingFile, GrowingUpload } from './growing-upload.ts';
import { Keys, listBucket, readManifest } from './list-bucket.ts';
import { partBytesForEstimate, SMALLEST_PART_BYTES } from './part-plan.ts';
import { putObject } from './put-object.ts';
import type { Timeouts } from './sdk.ts';
import { abortStaleUploads } from './stale-uploads.ts';
import { SHA256_METADATA, type UploadSettings, uploadArchive } from './upload-archive.ts';

export interface S3StoreOptions {
  readonly log: Logger;
  readonly clock?: Clock;
  /** Set for daemons whose credentials may only read: `checks` writes no probe then. */
  readonly readOnly?: boolean;
  readonly timeouts?: Timeouts;
  /** Attempts of each single call. */
  readonly backoff?: Backoff;
  readonly upload?: UploadSettings;
  /** Shared with others; otherwise the store has one of its own where S3_UPLOAD_LIMIT is set. */
  readonly uploadLimit?: RateLimit;
}

const TIMEOUTS: Timeouts = { connectMs: 10_000, idleMs: 60_000 };
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
    const { log, clock = systemClock, timeouts = TIMEOUTS, backoff = BACKOFF } = options;
    const limit = limitOf(config, clock, options.uploadLimit);
    this.#bucket = new Bucket(new S3Calls(config, { clock, log, timeouts, backoff, ...limit }));
    this.#keys = new Keys(config.prefix, name);
    this.#upload = options.upload ?? UPLOAD;
    this.#readOnly = options.readOnly ?? false;
    this.#log = log;
    this.description = `s3://${config.bucket}/${this.#keys.folder.slice(0, -1)}`;
    // Names of buckets are one space in all of AWS, and one at each other endpoint.
    this.identity = `${this.description} at ${config.endpoint ?? 'AWS'}`;
  }

  /** An archive that an earlier attempt at this same backup completed is taken as it is. */
  async publish(manifest: Manifest, archive: ArchiveSource, signal: AbortSignal): Promise<void> {
    await this.#requireFree(manifest, signal);
    const key = this.#keys.archive(manifest);
    await uploadArchive(this.#bucket, key, manifest, archive.path, this.#upload, signal);
    await this.#publishManifest(manifest, signal);
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
      return await this.#publishManifest(manifest, signal);
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

  async fetch(
    manifest: Manifest,
    destination: string,
    signal: AbortSignal,
    onProgress: (bytes: number) => void = () => {},
  ): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    await this.#requireListed(manifest, signal);
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
    await this.#requireListed(manifest, signal);
    const key = this.#keys.archive(manifest);
    await downloadArchive(this.#bucket, key, manifest, new DigestSink(), signal, onProgress);
  }

  /** Compares the manifest whole, and the archive's size and recorded sha256. */
  async confirm(manifest: Manifest, signal: AbortSignal): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    await this.#requireListed(manifest, signal);
    await this.#confirmArchive(manifest, signal);
  }

  async remove(manifest: Manifest, signal: AbortSignal): Promise<void> {
    requireOwnName(manifest, this.#keys.name, this.description);
    const { id } = manifest;
    const key = this.#keys.manifest(id);
    const stored = await readManifest(this.#bucket, this.#keys, id, key, signal);
    if (stored) {
      if (!isSameBackup(stored, manifest)) throw differentManifest(id, this.description);
      await this.#copyForRemoval(stored, signal);
      await this.#bucket.deleteSurely(key, signal);
    }
    await this.#finishRemoval(id, signal);
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
      ? await attempt(() => this.#finishRemovals(signal))
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

  /** Last of all, and only once the endpoint has shown the archive; then it has to show the manifest. */
  async #publishManifest(manifest: Manifest, signal: AbortSignal): Promise<void> {
    await this.#confirmArchive(manifest, signal);
    const parameters = { ...this.#bucket.protection(), ContentType: 'application/json' };
    const bytes = serialiseManifest(manifest);
    await putObject(this.#bucket, this.#keys.manifest(manifest.id), { bytes }, parameters, signal);
    await this.#requireListed(manifest, signal);
  }

  async #confirmArchive(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const key = this.#keys.archive(manifest);
    const found = await this.#bucket.head(key, signal);
    if (found === undefined) throw notFound(manifest.archive.file, this.description);
    const { bytes, sha256 } = manifest.archive;
    const recorded = found.Metadata?.[SHA256_METADATA] ?? sha256;
    if (found.ContentLength === bytes && recorded === sha256) return;
    throw new DropbackError('store/corrupt', `${key} is not what its manifest says`, {
      hint: 'use another backup, or the local copy; then look who else writes to that bucket.',
      facts: {
        expected: { bytes, sha256 },
        found: { bytes: found.ContentLength, sha256: recorded },
      },
    });
  }

  async #requireListed(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { id } = manifest;
    const key = this.#keys.manifest(id);
    const stored = await readManifest(this.#bucket, this.#keys, id, key, signal);
    if (!stored) throw notFound(id, this.description);
    if (!isSameBackup(stored, manifest)) throw differentManifest(id, this.description);
  }

  /** Under another name, before anything goes: after a crash it tells which archive is to be deleted. */
  async #copyForRemoval(stored: Manifest, signal: AbortSignal): Promise<void> {
    const { id } = stored;
    const key = this.#keys.removing(id);
    const isThere = async () =>
      (await readManifest(this.#bucket, this.#keys, id, key, signal)) !== undefined;
    if (await isThere()) return;
    const bytes = serialiseManifest(stored);
    await putObject(this.#bucket, key, { bytes }, {}, signal).catch((error: unknown) => {
      // Somebody else is removing it too.
      if (!(error instanceof DropbackError) || error.code !== 'store/exists') throw error;
    });
    if (!(await isThere())) throw notFound(key, this.description);
  }

  async #finishRemovals(signal: AbortSignal): Promise<string[]> {
    const found: string[] = [];
    const listed = new Set<string>();
    for await (const { key } of this.#bucket.list(this.#keys.own, signal)) {
      const known = this.#keys.parse(key);
      if (known?.kind === 'manifest-removing') found.push(known.id);
      if (known?.kind === 'manifest') listed.add(known.id);
    }
    const removed: string[] = [];
    for (const id of found) {
      if (listed.has(id)) {
        // Never taken off the list, for want of the right perhaps: the next plan decides anew.
        await this.#bucket.delete(this.#keys.removing(id), signal);
        continue;
      }
      await this.#finishRemoval(id, signal);
      removed.push(id);
    }
    return removed;
  }

  async #finishRemoval(id: string, signal: AbortSignal): Promise<void> {
    const key = this.#keys.removing(id);
    const manifest = await readManifest(this.#bucket, this.#keys, id, key, signal);
    if (!manifest) return;
    await this.#bucket.deleteSurely(this.#keys.archive(manifest), signal);
    await this.#bucket.delete(key, signal);
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
