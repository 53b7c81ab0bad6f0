import { rename } from 'node:fs/promises';
import { basename } from 'node:path';
import { type BackupFile, parseBackupFile } from '../../archive/archive-name.ts';
import type { Manifest } from '../../archive/manifest.ts';
import { isSameBackup } from '../../archive/manifest-file.ts';
import {
  type BackupState,
  readState,
  stateFilePath,
  updateState,
} from '../../archive/state-file.ts';
import type { CheckResult } from '../../engines/engine.ts';
import { ensureFolder, removeDurably, syncFolder } from '../../runtime/durable-files.ts';
import { throwIfAborted, toDropbackError } from '../../runtime/errors.ts';
import { copyArchive, digestFile, requireDigest } from '../file-copy.ts';
import type { ArchiveSource, Listing, Store } from '../store.ts';
import {
  differentManifest,
  isAboutReading,
  notFound,
  requireOwnName,
  unreadable,
} from '../store-errors.ts';
import { BackupFolder } from './backup-folder.ts';
import { freeBytesAt, localChecks } from './checks.ts';
import { listFolder, newestIn } from './list-folder.ts';
import { publishBackup } from './publish-backup.ts';
import { isThere } from './publish-file.ts';
import { finishRemoval } from './removal.ts';
import { type SweepReport, sweepFolder } from './sweep.ts';

/**
 * Backups in a folder on a local volume, one folder a database. See `Store` for the contract.
 * `list`, `fetch` and `confirm` write nothing there, so it may be mounted read-only.
 */
export class LocalStore implements Store {
  readonly kind = 'local';
  readonly description: string;
  readonly identity: string;
  readonly #folder: BackupFolder;

  /** `folder` is `<BACKUP_DIR>/<name>`; made when something is first written. */
  constructor(folder: string, name: string) {
    this.#folder = new BackupFolder(folder, name);
    this.description = folder;
    this.identity = folder;
  }

  /** Makes the folder (mode 0700) if it isn't there. */
  async prepare(): Promise<void> {
    await ensureFolder(this.#folder.path).catch(rethrow);
  }

  /** Where to write an archive that is to be published: then publishing is a rename. */
  spoolPath(archiveFile: string): string {
    return this.#folder.spoolPath(archiveFile);
  }

  /** Where the archive of a listed backup lies. */
  archivePath(manifest: Manifest): string {
    requireOwnName(manifest, this.#folder.name, this.description);
    return this.#folder.file(manifest.archive.file);
  }

  /**
   * A source at `spoolPath(manifest.archive.file)` is moved, any other is copied. On failure the
   * spool stays (the caller removes it) and nothing is listed.
   */
  async publish(manifest: Manifest, archive: ArchiveSource, signal: AbortSignal): Promise<void> {
    requireOwnName(manifest, this.#folder.name, this.description);
    await publishBackup(this.#folder, manifest, archive, signal);
  }

  async list(signal: AbortSignal): Promise<Listing> {
    throwIfAborted(signal);
    return await listFolder(this.#folder).catch(rethrow);
  }

  /** The manifest in a file that `list` names as a stray; undefined where it holds none that is whole. */
  async strayManifest(file: string): Promise<Manifest | undefined> {
    const known = parseBackupFile(this.#folder.name, file);
    if (known?.kind !== 'manifest') return undefined;
    return await this.#folder
      .readManifest(this.#folder.file(file), known.id)
      .catch(() => undefined);
  }

  /** The newest that is listed, without a look at all the others. Undefined where there is none. */
  async newest(now: Date): Promise<Manifest | undefined> {
    return await newestIn(this.#folder, now).catch(rethrow);
  }

  async fetch(
    manifest: Manifest,
    destination: string,
    signal: AbortSignal,
    onProgress?: (bytes: number) => void,
  ): Promise<void> {
    const path = await this.#listedArchive(manifest);
    await copyArchive(path, destination, manifest, signal, onProgress).catch(rethrow);
  }

  /** Reads the archive whole: on a local volume that is the only proof. */
  confirm(manifest: Manifest, signal: AbortSignal): Promise<void> {
    return this.verify(manifest, signal);
  }

  async verify(
    manifest: Manifest,
    signal: AbortSignal,
    onProgress?: (bytes: number) => void,
  ): Promise<void> {
    const path = await this.#listedArchive(manifest);
    requireDigest(manifest, await digestFile(path, signal, onProgress).catch(rethrow), path);
  }

  async remove(manifest: Manifest, signal: AbortSignal): Promise<void> {
    requireOwnName(manifest, this.#folder.name, this.description);
    throwIfAborted(signal);
    const listed = this.#folder.manifestPath(manifest.id);
    const removing = this.#folder.removingPath(manifest.id);
    try {
      const stored = await this.#folder.readManifest(listed, manifest.id);
      if (stored) {
        if (!isSameBackup(stored, manifest)) throw differentManifest(manifest.id, this.description);
        // Off the list first, durably; its content stays until the archive is gone, so that a crash
        // in between leaves no archive that nothing names.
        await rename(listed, removing);
        await syncFolder(this.#folder.path);
      }
      await finishRemoval(this.#folder, manifest.id);
    } catch (error) {
      throw toDropbackError(error);
    }
  }

  /**
   * Finishes or undoes what a crash left behind; the caller holds the database's lock, since a
   * spool that is being written looks like one that was left. See `sweepFolder`.
   */
  async sweep(signal: AbortSignal): Promise<SweepReport> {
    return await sweepFolder(this.#folder, signal).catch(rethrow);
  }

  /** Bytes that this process may still write on that volume; undefined where it can't be told. */
  async freeBytes(): Promise<number | undefined> {
    return await freeBytesAt(this.#folder.path);
  }

  async checks(signal: AbortSignal): Promise<CheckResult[]> {
    return await localChecks(this.#folder.path, signal);
  }

  async ids(signal: AbortSignal): Promise<ReadonlySet<string>> {
    throwIfAborted(signal);
    return await this.#idsOf('manifest');
  }

  /** Whether there is a manifest of this id, without a look at what is in it. */
  lists(id: string): Promise<boolean> {
    return isThere(this.#folder.manifestPath(id));
  }

  /** What became of a backup. */
  readState(id: string): Promise<BackupState> {
    return readState(this.#folder.path, id);
  }

  updateState(id: string, change: (state: BackupState) => BackupState): Promise<BackupState> {
    return updateState(this.#folder.path, id, change);
  }

  /** Ids of which a state is kept; it outlives the local backup, for S3 may still list it. */
  stateIds(): Promise<ReadonlySet<string>> {
    return this.#idsOf('state');
  }

  /** Forgets what became of a backup that lies nowhere any more. Missing is fine. */
  async dropState(id: string): Promise<void> {
    await removeDurably(stateFilePath(this.#folder.path, id)).catch(rethrow);
  }

  async #idsOf(wanted: BackupFile['kind']): Promise<Set<string>> {
    const { ours } = await this.#folder.read().catch(rethrow);
    return new Set(ours.filter(({ kind }) => kind === wanted).map(({ id }) => id));
  }

  /** Path of the archive, if this very backup is listed. */
  async #listedArchive(manifest: Manifest): Promise<string> {
    requireOwnName(manifest, this.#folder.name, this.description);
    const path = this.#folder.manifestPath(manifest.id);
    const stored = await this.#folder.readManifest(path, manifest.id).catch((error: unknown) => {
      throw isAboutReading(error) ? unreadable(path, error) : toDropbackError(error);
    });
    if (!stored) throw notFound(manifest.id, this.description);
    if (!isSameBackup(stored, manifest)) throw differentManifest(manifest.id, this.description);
    const archive = this.#folder.file(stored.archive.file);
    if ((await this.#folder.sizeOf(archive)) === undefined) {
      throw notFound(basename(archive), this.description);
    }
    return archive;
  }
}

function rethrow(error: unknown): never {
  throw toDropbackError(error);
}
