import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { DropbackError, type ErrorReport, errorReport, isAbort } from '../runtime/errors.ts';
import { type Backoff, backoffDelay } from '../runtime/retry.ts';
import { waitForHealth } from './health.ts';
import type { ContainerRuntime } from './runtime.ts';

export interface StartOptions {
  readonly signal: AbortSignal;
  /**
   * Told each name once it has been started, and when that start was sent: the end of the downtime.
   * Not told of attempts that never reached Docker.
   */
  readonly onStart?: (name: string, sentAt: Date) => void;
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

  /**
   * `names` in this order, then what `findExtras` returns. One that fails is tried again after the
   * others, so that it holds up none of them.
   */
  async start(
    names: readonly string[],
    options: StartOptions,
    findExtras: () => Promise<string[]>,
  ): Promise<StartResult> {
    const warnings: string[] = [];
    const failed = await this.#inRounds(names, options);
    const extras = await this.#extras(findExtras, options, warnings);
    for (const [name, error] of await this.#inRounds(extras, options)) failed.set(name, error);

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

  /**
   * What was given up, and why. Docker that doesn't answer is asked for ever; but one container whose
   * start hangs holds up none of the others.
   */
  async #inRounds(
    names: readonly string[],
    options: StartOptions,
  ): Promise<Map<string, ErrorReport>> {
    const givenUp = new Map<string, ErrorReport>();
    const failures = new Map<string, number>();
    let left = names;
    for (let round = 1; ; round++) {
      const failed = new Map<string, unknown>();
      for (const name of left) {
        const error = await this.#startOne(name, options);
        if (error === undefined) continue;
        const times = (failures.get(name) ?? 0) + (isUnanswered(error) ? 0 : 1);
        failures.set(name, times);
        if (times < failing.attempts) failed.set(name, error);
        else givenUp.set(name, errorReport(error));
      }
      left = [...failed.keys()];
      if (left.length === 0) return givenUp;
      const isAway = [...failed.values()].every(isUnanswered);
      const delayMs = backoffDelay(isAway ? away : failing, round);
      // Where Docker is away, one of them says it all.
      const told = isAway ? [...failed].slice(0, 1) : failed;
      for (const [name, error] of told) this.#report(name, round, error, delayMs, options);
      await this.#clock.sleep(delayMs, options.signal);
    }
  }

  /** Undefined when it runs, else what was wrong. */
  async #startOne(name: string, options: StartOptions): Promise<unknown> {
    const sentAt = this.#clock.now();
    try {
      await this.#runtime.start(name, options.signal);
    } catch (error) {
      if (isAbort(error) || options.signal.aborted) throw error;
      return error;
    }
    options.onStart?.(name, sentAt);
    return undefined;
  }

  async #extras(
    findExtras: () => Promise<string[]>,
    options: StartOptions,
    warnings: string[],
  ): Promise<string[]> {
    let extras: string[] = [];
    const what = 'RESTORE_START_CONTAINERS';
    const error = await this.#onceReachable(what, options, async () => {
      extras = await findExtras();
    });
    if (error === undefined) return extras;
    const { message, hint } = errorReport(error);
    warnings.push(`${what}: ${message}; ${hint}`);
    return extras;
  }

  /** Retries for ever while Docker is away; returns any other error. */
  async #onceReachable(
    what: string,
    options: StartOptions,
    operation: () => Promise<void>,
  ): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        await operation();
        return undefined;
      } catch (error) {
        if (isAbort(error) || options.signal.aborted) throw error;
        if (!isUnanswered(error)) return error;
        const delayMs = backoffDelay(away, attempt);
        this.#report(what, attempt, error, delayMs, options);
        await this.#clock.sleep(delayMs, options.signal);
      }
    }
  }

  #report(
    container: string,
    attempt: number,
    error: unknown,
    delayMs: number,
    options: StartOptions,
  ): void {
    this.#log.warn({ container, attempt, delayMs, error }, 'not started yet; trying again');
    options.onAttempt?.({ container, attempt, error, delayMs });
  }
}

function isUnanswered(error: unknown): boolean {
  return error instanceof DropbackError && error.retryable;
}
