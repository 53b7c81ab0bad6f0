import type { Manifest } from '../archive/manifest.ts';
import type { CheckResult } from '../engines/engine.ts';

/**
 * The seam between backups and the place where they lie. Implementations: `local/`, `s3/`; the
 * contract suite in test/contracts/store runs on each.
 *
 * Contract:
 * - A backup is listed only when its archive is complete and its manifest is intact: the manifest
 *   is published last and removed first.
 * - Nothing is ever overwritten: publishing an id that exists throws `store/exists`.
 * - Only what a manifest of this database names is listed, fetched or removed. Foreign files and
 *   archives without a manifest are reported as `strays` and left alone.
 * - Errors: `store/unreachable` and `store/too-slow` (retryable), `store/refused` (credentials or policy),
 *   `store/full` (a quota or a disk of the endpoint's),
 *   `store/not-found`, `store/exists`, `store/corrupt`, `store/unreadable` (the disk that it lies on
 *   doesn't give it back), `disk/full`. Each implementation retries
 *   its own transient faults; callers don't.
 */
export interface Store {
  readonly kind: 'local' | 's3';
  /** For messages, without secrets: `/backups/app`, `s3://bucket/prefix/app`. */
  readonly description: string;
  /** The same for the same place and no other, for state files; without secrets. */
  readonly identity: string;

  /** Makes a verified archive and its manifest listed, durably, in that order. */
  publish(manifest: Manifest, archive: ArchiveSource, signal: AbortSignal): Promise<void>;

  /** Everything that is listed, oldest first, and what else lies there. */
  list(signal: AbortSignal): Promise<Listing>;

  /** Ids under which a manifest lies, by names alone: a damaged one counts, and no content is read. */
  ids(signal: AbortSignal): Promise<ReadonlySet<string>>;

  /** Whether a manifest lies under this id, asked for it alone: surer than a listing. */
  lists(id: string, signal: AbortSignal): Promise<boolean>;

  /**
   * Copies an archive into a new file and compares its size and sha256 with the manifest's.
   * Throws `store/corrupt` on a difference, and leaves no file behind then.
   */
  fetch(
    manifest: Manifest,
    destination: string,
    signal: AbortSignal,
    onProgress?: (bytes: number) => void,
  ): Promise<void>;

  /** Compares what is stored with the manifest as far as the store can without a full read. */
  confirm(manifest: Manifest, signal: AbortSignal): Promise<void>;

  /**
   * Reads the archive whole, from where it lies, and compares size and sha256 with the manifest's:
   * one changed byte is `store/corrupt`. Writes nothing.
   */
  verify(
    manifest: Manifest,
    signal: AbortSignal,
    onProgress?: (bytes: number) => void,
  ): Promise<void>;

  /** Takes a backup off the list, then deletes its files. Missing is fine. */
  remove(manifest: Manifest, signal: AbortSignal): Promise<void>;

  /** Writes, reads and deletes a probe object with real calls, for `doctor` and at start. */
  checks(signal: AbortSignal): Promise<CheckResult[]>;
}

/** An archive file on a local volume. */
export interface ArchiveSource {
  readonly path: string;
}

export interface Listing {
  readonly backups: readonly Manifest[];
  readonly strays: readonly Stray[];
}

export interface Stray {
  readonly name: string;
  /** For example `archive without a manifest`, `manifest is corrupt`. */
  readonly reason: string;
  /** It is there and could not be read, which does not say that it is damaged. */
  readonly unreadable?: boolean;
}
