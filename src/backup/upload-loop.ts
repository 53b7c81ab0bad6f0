import type { Manifest } from '../core/archive/manifest.ts';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { type ErrorReport, errorReport, isAbort } from '../core/runtime/errors.ts';
import { backoffDelay } from '../core/runtime/retry.ts';
import type { Turnstile } from '../core/runtime/turnstile.ts';
import type { EarlyUpload } from './run.ts';
import type { Uploads } from './uploads.ts';

export interface UploadLoopDependencies {
  readonly uploads: Uploads;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where several databases are uploaded: after an outage not all at once. */
  readonly turnstile?: Turnstile;
  /**
   * Called when a round came to the end of the backlog, or the store is full: retention makes room. How
   * many are left, which in the first case can't be uploaded for a reason of their own.
   */
  readonly onRoundEnd: (left: number, signal: AbortSignal) => Promise<void>;
  /** Told each round that failed: how many in a row. */
  readonly onBehind?: (error: ErrorReport, backlog: number, failures: number) => void;
}

const BACKOFF = { firstMs: 30_000, mostMs: 3_600_000, attempts: Number.POSITIVE_INFINITY };

/**
 * Uploads beside the schedule, so that a slow or absent remote store never holds up the next
 * backup: woken by each new one, and by itself with backoff while something is left.
 */
export class UploadLoop {
  readonly #deps: UploadLoopDependencies;
  readonly #early: { manifest: Manifest; upload: EarlyUpload }[] = [];
  #wake: AbortController = new AbortController();
  /** When each was made, by id. */
  #waiting = new Map<string, string>();
  #lastError: ErrorReport | undefined;

  constructor(deps: UploadLoopDependencies) {
    this.#deps = deps;
  }

  get backlog(): number {
    return this.#waiting.size;
  }

  /** When the oldest of them was made; ISO 8601. */
  get oldest(): string | undefined {
    return [...this.#waiting.values()].sort()[0];
  }

  get lastError(): ErrorReport | undefined {
    return this.#lastError;
  }

  /** A backup has been published; its parts may have gone up already. */
  add(manifest: Manifest, early: EarlyUpload | undefined): void {
    this.#waiting.set(manifest.id, manifest.createdAt);
    if (early) this.#early.push({ manifest, upload: early });
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        failures = (await this.#roundInTurn(signal)) ? 0 : failures + 1;
      } catch (error) {
        if (isAbort(error)) break;
        failures += 1;
        this.#failed(errorReport(error));
      }
      if (this.#lastError && failures > 0) {
        this.#deps.onBehind?.(this.#lastError, this.backlog, failures);
      }
      await this.#pause(failures, signal);
    }
    await this.#abandonEarly();
  }

  /** In an outage what has gone up is worth little, and each would wait for its own time-outs. */
  async #abandonEarly(): Promise<void> {
    for (const { upload } of this.#early.splice(0)) await upload.abort().catch(() => {});
  }

  #roundInTurn(signal: AbortSignal): Promise<boolean> {
    const { turnstile } = this.#deps;
    return turnstile ? turnstile.pass(() => this.#round(signal), signal) : this.#round(signal);
  }

  /** True when nothing is left to upload. */
  async #round(signal: AbortSignal): Promise<boolean> {
    const { uploads, onRoundEnd } = this.#deps;
    for (let next = this.#early.shift(); next; next = this.#early.shift()) {
      const error = await uploads.finishEarly(next.manifest, next.upload, signal);
      if (error) {
        await this.#abandonEarly();
        this.#noteWaiting(await uploads.backlog(signal));
        this.#failed(error);
        if (isFull(error)) await onRoundEnd(this.backlog, signal);
        return false;
      }
    }
    const result = await uploads.drain(signal, {
      waiting: (all) => this.#noteWaiting(all),
      uploaded: (id) => this.#waiting.delete(id),
    });
    this.#lastError = undefined;
    if (result.error) this.#failed(result.error);
    const isAtItsEnd = !result.cutShort || isFull(result.error);
    if (isAtItsEnd && !this.#wake.signal.aborted) await onRoundEnd(result.remaining.length, signal);
    return result.error === undefined;
  }

  #noteWaiting(all: readonly Manifest[]): void {
    this.#waiting = new Map(all.map(({ id, createdAt }) => [id, createdAt]));
  }

  #failed(error: ErrorReport): void {
    this.#lastError = error;
    const { backlog } = this;
    const { code, message, hint } = error;
    const text = `upload failed, ${backlog} not uploaded: ${message}; it is tried again`;
    this.#deps.log.warn({ code, hint, backlog }, text);
  }

  async #pause(failures: number, signal: AbortSignal): Promise<void> {
    const delay = failures === 0 ? 2 ** 31 : backoffDelay(BACKOFF, failures);
    const woken = AbortSignal.any([signal, this.#wake.signal]);
    await this.#deps.clock.sleep(delay, woken).catch(() => {});
  }
}

/** What retention lets go makes room. */
function isFull(error: ErrorReport | undefined): boolean {
  return error?.code === 'store/full';
}
