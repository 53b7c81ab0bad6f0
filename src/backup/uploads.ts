import type { Manifest } from '../core/archive/manifest.ts';
import {
  type BackupState,
  withoutVerdictsOnS3,
  withS3Upload,
  withVerification,
} from '../core/archive/state-file.ts';
import { isDamaged, isUploaded } from '../core/archive/state-findings.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { DropbackError, type ErrorReport, errorReport, isAbort } from '../core/runtime/errors.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { Store } from '../core/stores/store.ts';
import type { EarlyUpload } from './run.ts';

export interface UploadDependencies {
  readonly local: LocalStore;
  readonly remote: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DrainResult {
  readonly uploaded: readonly string[];
  /** Ids that are listed locally and still not uploaded. */
  readonly remaining: readonly string[];
  /** The store could not take more: what was not tried may be fine. */
  readonly cutShort: boolean;
  /** The first one. */
  readonly error?: ErrorReport;
}

/** Draining may take days. */
export interface DrainProgress {
  /** Told once, before the first. */
  readonly waiting?: (all: readonly Manifest[]) => void;
  readonly uploaded?: (id: string) => void;
}

/** What the store answers to one backup, it would answer to the next. */
const OF_THE_STORE = new Set([
  ...['store/unreachable', 'store/refused', 'store/full', 'store/no-bucket'],
]);

type Waiting = { readonly manifest: Manifest; readonly state: BackupState };

/**
 * Brings what is listed locally to the remote store, oldest first. A failure leaves the backup
 * listed as not uploaded. It ends the round where it is the store's, for those behind it would meet
 * the same. What is wrong with one backup holds up no other: it is told, and tried again.
 */
export class Uploads {
  readonly #deps: UploadDependencies;

  constructor(deps: UploadDependencies) {
    this.#deps = deps;
  }

  /** Listed locally and not known to be uploaded whole, to this very store; oldest first. */
  async backlog(signal: AbortSignal): Promise<Manifest[]> {
    return (await this.#waiting(signal)).map(({ manifest }) => manifest);
  }

  async drain(signal: AbortSignal, onProgress: DrainProgress = {}): Promise<DrainResult> {
    const waiting = await this.#waiting(signal);
    onProgress.waiting?.(waiting.map(({ manifest }) => manifest));
    const uploaded = new Set<string>();
    let first: ErrorReport | undefined;
    let cutShort = false;
    for (const one of waiting) {
      const { id } = one.manifest;
      try {
        await this.#upload(one, signal);
        uploaded.add(id);
        onProgress.uploaded?.(id);
      } catch (error) {
        if (isAbort(error)) throw error;
        const report = errorReport(error);
        first ??= report;
        cutShort = isOfTheStore(error);
        if (cutShort) break;
        this.#deps.log.warn({ id, error: report }, 'this backup could not be uploaded; going on');
      }
    }
    const remaining = waiting.map(({ manifest: { id } }) => id).filter((id) => !uploaded.has(id));
    return { uploaded: [...uploaded], remaining, cutShort, ...(first ? { error: first } : {}) };
  }

  /**
   * Completes an upload that began while the archive was written. Returns the error where it is the
   * store's: a whole upload would meet the same. Any other failure is left to
   * the next `drain`.
   */
  async finishEarly(
    manifest: Manifest,
    early: EarlyUpload,
    signal: AbortSignal,
  ): Promise<ErrorReport | undefined> {
    try {
      await early.complete(manifest, signal);
      await this.#note(manifest, 'uploaded');
      this.#deps.log.info({ id: manifest.id, store: this.#deps.remote.description }, 'uploaded');
      return undefined;
    } catch (error) {
      await early.abort().catch(() => {});
      if (isAbort(error)) throw error;
      if (isOfTheStore(error)) {
        await this.#note(manifest, 'failed', errorReport(error));
        return errorReport(error);
      }
      this.#deps.log.warn({ id: manifest.id, error }, 'upload began well and failed; trying anew');
      return undefined;
    }
  }

  async #waiting(signal: AbortSignal): Promise<Waiting[]> {
    const { local, remote } = this.#deps;
    const waiting: Waiting[] = [];
    for (const manifest of (await local.list(signal)).backups) {
      const state = await local.readState(manifest.id);
      if (isUploaded(state, remote.identity) && !isDamagedThere(state, remote.identity)) continue;
      waiting.push({ manifest, state });
    }
    return waiting;
  }

  async #upload({ manifest, state }: Waiting, signal: AbortSignal): Promise<void> {
    const { local, remote, log } = this.#deps;
    const { id } = manifest;
    const isSpoilt = isDamagedThere(state, remote.identity);
    // Not read again and again: a verification that finds it whole is what changes that.
    if (isDamaged(state, 'local')) throw damagedHere(id, local.description);
    log.info({ id, store: remote.description }, 'upload started');
    try {
      await this.#publish(manifest, isSpoilt, signal);
    } catch (error) {
      if (isAbort(error)) throw error;
      if (!isSpoilt) await this.#note(manifest, 'failed', errorReport(error));
      if (hasCode(error, 'store/corrupt') && !isSpoilt) await this.#noteDamage(manifest, signal);
      throw error;
    }
    if (isSpoilt) await local.updateState(id, withoutVerdictsOnS3);
    await this.#note(manifest, 'uploaded');
    log.info({ id, store: remote.description }, 'uploaded');
  }

  /** Fine, too, where an earlier attempt arrived though its answer was lost: the same is there. */
  async #publish(manifest: Manifest, isSpoilt: boolean, signal: AbortSignal): Promise<void> {
    const { local, remote } = this.#deps;
    try {
      await remote.publish(manifest, { path: local.archivePath(manifest) }, signal);
    } catch (error) {
      if (!hasCode(error, 'store/exists')) throw error;
      // Its size and what is written beside it are as they should be: that proves nothing any more.
      if (isSpoilt) throw damagedThere(manifest.id, remote.description, error);
      await remote.confirm(manifest, signal).catch(async (unconfirmed: unknown) => {
        if (!hasCode(unconfirmed, 'store/not-found')) throw unconfirmed;
        if (await remote.lists(manifest.id, signal)) {
          throw withoutArchive(manifest.id, remote.description, error);
        }
        // Another archive lies there without a manifest: that it exists is what has to be told.
        throw error;
      });
    }
  }

  /** Whether it was the local archive that is not what it was: retention has to know. */
  async #noteDamage(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { local, clock, log } = this.#deps;
    const { id } = manifest;
    try {
      await local.verify(manifest, signal);
    } catch (damage) {
      if (isAbort(damage)) throw damage;
      if (!hasCode(damage, 'store/corrupt')) return;
      const error = errorReport(damage);
      log.error({ id, error }, 'a backup is not good');
      const found = { kind: 'archive', status: 'failed', where: 'local', durationMs: 0 } as const;
      const at = clock.now().toISOString();
      await local.updateState(id, (state) => withVerification(state, { ...found, at, error }));
    }
  }

  async #note(
    manifest: Manifest,
    status: 'uploaded' | 'failed',
    error?: ErrorReport,
  ): Promise<void> {
    const { local, remote, clock } = this.#deps;
    const upload = { status, target: remote.identity, at: clock.now() };
    await local.updateState(manifest.id, (state) =>
      withS3Upload(state, error ? { ...upload, error } : upload),
    );
  }
}

/** Whether the copy in this very store was read and found to be something else. */
function isDamagedThere(state: BackupState, target: string): boolean {
  return isDamaged(state, 's3') && (state.uploads.s3?.target ?? target) === target;
}

function isOfTheStore(error: unknown): boolean {
  if (!(error instanceof DropbackError)) return false;
  return error.retryable || OF_THE_STORE.has(error.code);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof DropbackError && error.code === code;
}

function damagedHere(id: string, where: string): DropbackError {
  return new DropbackError('store/corrupt', `${id} is damaged in ${where}: it can't be uploaded`, {
    hint: `look for a failing disk. It stays until somebody deletes it; \`dropback verify ${id}\` reads it again.`,
    facts: { id, where },
  });
}

/** Manifests are published last: whoever deletes only archives leaves one that promises too much. */
function withoutArchive(id: string, where: string, cause: unknown): DropbackError {
  return new DropbackError('store/not-found', `${id} has lost its archive in ${where}`, {
    hint: `look who deletes there, then delete ${id}.json: the local copy is uploaded again.`,
    facts: { id, where },
    cause,
  });
}

function damagedThere(id: string, where: string, cause: unknown): DropbackError {
  return new DropbackError('store/corrupt', `${id} was found damaged in ${where}`, {
    hint: 'delete its archive and its manifest there: the local copy, which is kept until then, is uploaded again.',
    facts: { id, where },
    cause,
  });
}
