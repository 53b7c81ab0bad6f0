import type { S3Config } from '../../config/config.ts';
import type { Logger } from '../../observability/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import { abortedError, errorReport } from '../../runtime/errors.ts';
import type { RateLimit } from '../../runtime/rate-limit.ts';
import { type Backoff, retry } from '../../runtime/retry.ts';
import { toStoreError } from './errors.ts';
import { Progress } from './progress.ts';
import { type LoadedSdk, loadSdk, type Timeouts } from './sdk.ts';

export interface CallOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeouts: Timeouts;
  readonly backoff: Backoff;
  /** S3_UPLOAD_LIMIT: of archives, all their parts together. */
  readonly uploadLimit?: RateLimit;
}

export interface Attempt {
  /** Counted from 1. */
  readonly number: number;
  /** To be told of each byte that is streamed; without, there is so much time for all. */
  readonly progress: Progress;
}

export type Call<T> = (sdk: LoadedSdk, abortSignal: AbortSignal, attempt: Attempt) => Promise<T>;

/** The one layer in which S3 calls are retried and their errors become the seam's. */
export class S3Calls {
  readonly config: S3Config;
  readonly options: CallOptions;
  #sdk: Promise<LoadedSdk> | undefined;

  constructor(config: S3Config, options: CallOptions) {
    this.config = config;
    this.options = options;
  }

  /**
   * Runs `call`, again for each retryable error, so each attempt must make its command (and its
   * stream) anew. `what` names it in messages, for example `upload of part 3`.
   */
  run<T>(what: string, call: Call<T>, signal: AbortSignal): Promise<T> {
    const { clock, log, backoff } = this.options;
    return retry((attempt) => this.once(what, call, signal, attempt), {
      clock,
      signal,
      backoff,
      onRetry: (error, attempt, delayMs) =>
        log.warn({ error: errorReport(error), attempt, delayMs }, `${what} is tried again`),
    });
  }

  /** One attempt, for callers with a way to retry of their own. */
  async once<T>(what: string, call: Call<T>, signal: AbortSignal, number = 1): Promise<T> {
    try {
      this.#sdk ??= loadSdk(this.config, this.options.timeouts);
      return await this.#watched(what, call, await this.#sdk, signal, number);
    } catch (error) {
      if (signal.aborted) throw abortedError(signal);
      throw toStoreError(error, what, this.config);
    }
  }

  async #watched<T>(
    what: string,
    call: Call<T>,
    sdk: LoadedSdk,
    signal: AbortSignal,
    number: number,
  ): Promise<T> {
    const { clock, timeouts } = this.options;
    using progress = new Progress(what, timeouts.pace, clock);
    const { tooSlow } = progress;
    try {
      return await call(sdk, AbortSignal.any([signal, tooSlow]), { number, progress });
    } catch (error) {
      throw tooSlow.aborted ? tooSlow.reason : error;
    }
  }

  /** Closes idle connections. */
  async close(): Promise<void> {
    const loaded = await this.#sdk?.catch(() => undefined);
    this.#sdk = undefined;
    loaded?.client.destroy();
  }
}
