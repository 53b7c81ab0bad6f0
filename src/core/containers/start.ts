import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { DropbackError, type ErrorReport, errorReport, isAbort } from '../runtime/errors.ts';
import { type Backoff, backoffDelay } from '../runtime/retry.ts';
import { waitForHealth } from './health.ts';
import type { ContainerRuntime } from './runtime.ts';

export interface StartOptions {
  readonly signal: AbortSignal;
  /** Told each name when its start is first sent: the end of the downtime as we can measure it. */
  readonly onStart?: (name: string) => void;
  /** Told each failed attempt, before the wait for the next; for status and reports. */
  readonly onAttempt?: (failed: FailedAttempt) => void;
  /** Milliseconds that health checks may take in all. Default: 3 minutes. */
  readonly healthTimeoutMs?: number;
}

export interface FailedAttempt {
  readonly container: string;
  /** Counted from 1. */
  readonly attempt: number;
  readonly error: unknown;
  readonly delayMs: number;
}

export interface StartResult {
  /** In the order of starting. */
  readonly containers: readonly StartedContainer[];
  /** One line for each that is not as it should be, for the report. */
  readonly warnings: readonly string[];
}

export interface StartedContainer {
  readonly name: string;
  /**
   * `running`: has no health check. `unhealthy`: runs, but its health check did not pass in time;
   * it is left running. `failed`: does not run.
   */
  readonly outcome: 'running' | 'healthy' | 'unhealthy' | 'failed';
  readonly error?: ErrorReport;
}

/** While the socket is away: for ever, at most half a minute apart. */
const away: Backoff = { firstMs: 1000, mostMs: 30_000, attempts: Number.POSITIVE_INFINITY };

/** A port still taken, or a container that is being re-created under the same name. */
const failing: Backoff = { firstMs: 1000, mostMs: 15_000, attempts: 6 };

const HEALTH_TIMEOUT_MS = 180_000;

/** Starts containers and sees them run; used by Application. */
export class Starter {
  readonly #runtime: ContainerRuntime;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(runtime: ContainerRuntime, clock: Clock, log: Logger) {
    this.#runtime = runtime;
    this.#clock = clock;
    this.#log = log;
  }

  /** `names` in this order, then what `findExtras` returns. One that fails holds up no other. */
  async start(
    names: readonly string[],
    options: StartOptions,
    findExtras: () => Promise<string[]>,
  ): Promise<StartResult> {
    const failed = new Map<string, ErrorReport>();
    const warnings: string[] = [];
    const startAll = async (batch: readonly string[]) => {
      for (const name of batch) {
        const error = await this.#startOne(name, options);
        if (error) failed.set(name, error);
      }
    };
    await startAll(names);
    const extras = await this.#extras(findExtras, options, warnings);
    await startAll(extras);

    const timeoutMs = options.healthTimeoutMs ?? HEALTH_TIMEOUT_MS;
    const until = this.#clock.monotonic() + timeoutMs;
    const containers = await Promise.all(
      [...names, ...extras].map((name): StartedContainer | Promise<StartedContainer> => {
        const error = failed.get(name);
        if (error) return { name, outcome: 'failed', error };
        return waitForHealth(name, this.#runtime, this.#clock, until, options.signal);
      }),
    );
    for (const { name, outcome, error } of containers) {
      if (outcome === 'unhealthy') {
        warnings.push(`container ${name} runs, but ${error?.message ?? 'is not healthy'}`);
      } else if (outcome === 'failed') {
        warnings.push(`container ${name} does not run: ${error?.message ?? 'unknown'}`);
      }
    }
    return { containers, warnings };
  }

  /** Undefined when it runs; what was wrong when it was given up. */
  async #startOne(name: string, options: StartOptions): Promise<ErrorReport | undefined> {
    let sent = false;
    return this.#untilDone(name, options, async () => {
      if (!sent) options.onStart?.(name);
      sent = true;
      await this.#runtime.start(name, options.signal);
    });
  }

  async #extras(
    findExtras: () => Promise<string[]>,
    options: StartOptions,
    warnings: string[],
  ): Promise<string[]> {
    let extras: string[] = [];
    const what = 'RESTORE_START_CONTAINERS';
    const error = await this.#untilDone(what, options, async () => {
      extras = await findExtras();
    });
    if (error) warnings.push(`${what}: ${error.message}; ${error.hint}`);
    return extras;
  }

  /** Retries for ever what is unreachable, a few times what fails otherwise. */
  async #untilDone(
    container: string,
    options: StartOptions,
    operation: () => Promise<void>,
  ): Promise<ErrorReport | undefined> {
    let failures = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        await operation();
        return undefined;
      } catch (error) {
        if (isAbort(error) || options.signal.aborted) throw error;
        const isAway = error instanceof DropbackError && error.retryable;
        if (!isAway) failures += 1;
        if (failures >= failing.attempts) return errorReport(error);
        const delayMs = isAway ? backoffDelay(away, attempt) : backoffDelay(failing, failures);
        this.#log.warn({ container, attempt, delayMs, error }, 'not started yet; trying again');
        options.onAttempt?.({ container, attempt, error, delayMs });
        await this.#clock.sleep(delayMs, options.signal);
      }
    }
  }
}
