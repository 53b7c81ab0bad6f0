import type { S3Config } from '../../config/config.ts';
import type { Logger } from '../../observability/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import { abortedError, errorReport } from '../../runtime/errors.ts';
import type { RateLimit } from '../../runtime/rate-limit.ts';
import { type Backoff, retry } from '../../runtime/retry.ts';
import { toStoreError } from './errors.ts';
import { type LoadedSdk, loadSdk, type Timeouts } from './sdk.ts';

export interface CallOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeouts: Timeouts;
  readonly backoff: Backoff;
  /** S3_UPLOAD_LIMIT: of archives, all their parts together. */
  readonly uploadLimit?: RateLimit;
}

export type Call<T> = (sdk: LoadedSdk, abortSignal: AbortSignal, attempt: number) => Promise<T>;

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
  async once<T>(what: string, call: Call<T>, signal: AbortSignal, attempt = 1): Promise<T> {
    try {
      this.#sdk ??= loadSdk(this.config, this.options.timeouts);
      return await call(await this.#sdk, signal, attempt);
    } catch (error) {
      if (signal.aborted) throw abortedError(signal);
      throw toStoreError(error, what, this.config);
    }
  }

  /** Closes idle connections. */
  async close(): Promise<void> {
    const loaded = await this.#sdk?.catch(() => undefined);
    this.#sdk = undefined;
    loaded?.client.destroy();
  }
}
