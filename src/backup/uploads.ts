import type { Manifest } from '../core/archive/manifest.ts';
import { withS3Upload } from '../core/archive/state-file.ts';
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
  /** Listed locally and still not uploaded. */
  readonly remaining: number;
  /** The first one. */
  readonly error?: ErrorReport;
}

/** What is wrong with one backup says nothing of the others. Any other failure may be an outage. */
const OF_ONE_BACKUP = new Set(['store/corrupt', 'store/exists', 'store/not-found']);

/**
 * Brings what is listed locally to the remote store, oldest first. A failure leaves the backup
 * listed as not uploaded. It ends the round, for those behind it would meet the same outage, unless
 * it is that backup's own.
 */
export class Uploads {
  readonly #deps: UploadDependencies;

  constructor(deps: UploadDependencies) {
    this.#deps = deps;
  }

  /** Listed locally and not known to be uploaded, oldest first. */
  async backlog(signal: AbortSignal): Promise<Manifest[]> {
    const { local } = this.#deps;
    const waiting: Manifest[] = [];
    for (const manifest of (await local.list(signal)).backups) {
      const state = await local.readState(manifest.id);
      if (state.uploads.s3?.status !== 'uploaded') waiting.push(manifest);
    }
    return waiting;
  }

  async drain(signal: AbortSignal): Promise<DrainResult> {
    const waiting = await this.backlog(signal);
    const uploaded: string[] = [];
    let first: ErrorReport | undefined;
    for (const manifest of waiting) {
      try {
        await this.#upload(manifest, signal);
        uploaded.push(manifest.id);
      } catch (error) {
        if (isAbort(error)) throw error;
        first ??= errorReport(error);
        if (!isOfOneBackup(error)) break;
        const report = errorReport(error);
        this.#deps.log.warn(
          { id: manifest.id, error: report },
          'this backup could not be uploaded; going on',
        );
      }
    }
    const remaining = waiting.length - uploaded.length;
    return first ? { uploaded, remaining, error: first } : { uploaded, remaining };
  }

  /**
   * Completes an upload that began while the archive was written. Returns the error where the store
   * could not be reached: a whole upload would meet the same outage. Any other failure is left to
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
      if (error instanceof DropbackError && error.retryable) {
        await this.#note(manifest, 'failed', errorReport(error));
        return errorReport(error);
      }
      this.#deps.log.warn({ id: manifest.id, error }, 'upload began well and failed; trying anew');
      return undefined;
    }
  }

  async #upload(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { remote, log } = this.#deps;
    log.info({ id: manifest.id, store: remote.description }, 'upload started');
    try {
      await this.#publish(manifest, signal);
    } catch (error) {
      if (!isAbort(error)) await this.#note(manifest, 'failed', errorReport(error));
      throw error;
    }
    await this.#note(manifest, 'uploaded');
    log.info({ id: manifest.id, store: remote.description }, 'uploaded');
  }

  /** Fine, too, where an earlier attempt arrived though its answer was lost: the same is there. */
  async #publish(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { local, remote } = this.#deps;
    try {
      await remote.publish(manifest, { path: local.archivePath(manifest) }, signal);
    } catch (error) {
      if (!hasCode(error, 'store/exists')) throw error;
      await remote.confirm(manifest, signal).catch((unconfirmed: unknown) => {
        // Another archive lies there without a manifest: that it exists is what has to be told.
        throw hasCode(unconfirmed, 'store/not-found') ? error : unconfirmed;
      });
    }
  }

  async #note(
    manifest: Manifest,
    status: 'uploaded' | 'failed',
    error?: ErrorReport,
  ): Promise<void> {
    const { local, clock } = this.#deps;
    await local.updateState(manifest.id, (state) =>
      withS3Upload(state, status, clock.now(), error),
    );
  }
}

function isOfOneBackup(error: unknown): boolean {
  return error instanceof DropbackError && !error.retryable && OF_ONE_BACKUP.has(error.code);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof DropbackError && error.code === code;
}
