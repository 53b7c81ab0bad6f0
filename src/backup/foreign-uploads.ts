import type { Manifest } from '../core/archive/manifest.ts';
import { isUploaded } from '../core/archive/state-findings.ts';
import type { Clock } from '../core/runtime/clock.ts';
import type { LocalStore } from '../core/stores/local/store.ts';
import type { Store } from '../core/stores/store.ts';

/** An upload of which nothing is heard for so long is nobody's any more. */
const PATIENCE_MS = 3_600_000;

/**
 * Backups that another process has made (`dropback backup`), which uploads them itself. Where that
 * failed, or it was killed meanwhile, the daemon takes the upload over.
 */
export class ForeignUploads {
  readonly #local: LocalStore;
  readonly #remote: Store;
  readonly #clock: Clock;
  readonly #watched = new Map<string, { readonly manifest: Manifest; readonly since: number }>();

  constructor({ local, remote, clock }: ForeignUploadDependencies) {
    this.#local = local;
    this.#remote = remote;
    this.#clock = clock;
  }

  watch(manifest: Manifest): void {
    this.#watched.set(manifest.id, { manifest, since: this.#clock.monotonic() });
  }

  /** Those that are to be taken over; each is told once. */
  async abandoned(): Promise<Manifest[]> {
    const found: Manifest[] = [];
    for (const [id, { manifest, since }] of this.#watched) {
      const state = await this.#local.readState(id);
      const isDone = isUploaded(state, this.#remote.identity);
      const isOver =
        state.uploads.s3?.status === 'failed' || this.#clock.monotonic() - since > PATIENCE_MS;
      if (!isDone && !isOver) continue;
      this.#watched.delete(id);
      if (!isDone) found.push(manifest);
    }
    return found;
  }
}

export interface ForeignUploadDependencies {
  readonly local: LocalStore;
  readonly remote: Store;
  readonly clock: Clock;
}
