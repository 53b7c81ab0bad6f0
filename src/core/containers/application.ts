import type { ContainersConfig } from '../config/config.ts';
import type { CheckResult } from '../engines/engine.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { DropbackError, errorReport, isAbort, toDropbackError } from '../runtime/errors.ts';
import { type Backoff, retry } from '../runtime/retry.ts';
import { keepsComingBack, STOP_ROUNDS } from './coming-back.ts';
import { ownContainerId } from './own-container.ts';
import type { ReservedAddress } from './reserved.ts';
import type { ContainerRuntime } from './runtime.ts';
import { parseSelector } from './selectors.ts';
import { Starter, type StartOptions, type StartResult } from './start.ts';
import { resolveTargets } from './targets.ts';

/** The application's containers, by exact name. */
export interface ApplicationTargets {
  /** In the order in which they are stopped. */
  readonly stop: readonly string[];
  /** To be started in addition to those that ran. */
  readonly start: readonly string[];
}

export interface StopOptions {
  readonly signal: AbortSignal;
  /** Told each name once its container is seen stopped. */
  readonly onStopped?: (name: string) => void | Promise<void>;
  /** Told those that run although they were stopped, or didn't run, before they are stopped. */
  readonly onCameBack?: (names: readonly string[]) => void | Promise<void>;
}

/** A hiccup of the socket should not fail a restore; a longer outage should, with nothing swapped. */
const stopBackoff: Backoff = { firstMs: 500, mostMs: 5000, attempts: 5 };

/** What a runtime may need beyond the grace, to kill what ignores the signal. */
const KILL_MS = 20_000;

/**
 * Stops and starts the application around a swap. Knows nothing of the journal: the machine keeps
 * the list of what ran, and hands it back to `start`, also after a crash. The one layer that
 * retries container operations.
 */
export class Application {
  readonly #runtime: ContainerRuntime;
  readonly #config: ContainersConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ownId: string | undefined;
  readonly #reserved: readonly ReservedAddress[];
  readonly #starter: Starter;

  constructor(
    runtime: ContainerRuntime,
    config: ContainersConfig,
    clock: Clock,
    log: Logger,
    ownId: string | undefined = ownContainerId(),
    reserved: readonly ReservedAddress[] = [],
  ) {
    this.#runtime = runtime;
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#ownId = ownId;
    this.#reserved = reserved;
    this.#starter = new Starter(runtime, clock, log);
  }

  /** Whether there is anything to stop or to start at all. */
  get isConfigured(): boolean {
    return this.#config.stop.length + this.#config.start.length > 0;
  }

  /**
   * Milliseconds after which a stop that was asked for, and not waited for to its end, has taken
   * effect: nothing takes a stop back once the runtime has begun with it.
   */
  get lateStopMs(): number {
    return this.#config.stopGraceSeconds * 1000 + KILL_MS;
  }

  /**
   * Which containers the configuration means now. Throws `containers/not-found` (facts: missing,
   * existing), `containers/unsuitable`, or what the runtime throws.
   */
  async resolve(signal: AbortSignal): Promise<ApplicationTargets> {
    // With nothing to stop or start, Docker need not even be there.
    const { stop, start } = this.#config;
    const all = await this.#resolve([...stop, ...start], signal);
    if (start.length === 0) return { stop: all, start: [] };
    return { stop: await this.#resolve(stop, signal), start: await this.#resolve(start, signal) };
  }

  /**
   * As `resolve`, in the middle of a restore: a container that somebody re-creates is gone for a
   * moment, and nothing that was staged is given up for that.
   */
  resolvePatiently(signal: AbortSignal): Promise<ApplicationTargets> {
    const { stop, start } = this.#config;
    const what = [...stop, ...start].join(',');
    return this.#patiently(what, signal, () => this.resolve(signal), isAwayOrRecreated);
  }

  /**
   * The containers of RESTORE_STOP_CONTAINERS that there are, whatever is wrong with the others, which
   * is logged: for when what ran has to come back and nobody knows what that was. Throws what is
   * `retryable`, that Docker is away.
   */
  listed(signal: AbortSignal): Promise<string[]> {
    return this.#listed(this.#config.stop, signal);
  }

  async #listed(selectors: readonly string[], signal: AbortSignal): Promise<string[]> {
    const names = new Set<string>();
    for (const selector of selectors) {
      try {
        for (const name of await this.#resolve([selector], signal)) names.add(name);
      } catch (error) {
        if (isAbort(error) || toDropbackError(error).retryable) throw error;
        this.#log.error({ selector, error }, 'listed, and left out');
      }
    }
    return [...names];
  }

  /** Those of the names that are up (running, paused or restarting), in the same order. */
  async running(names: readonly string[], signal: AbortSignal): Promise<string[]> {
    const up: string[] = [];
    for (const name of names) {
      const state = await this.#patiently(name, signal, () => this.#runtime.inspect(name, signal));
      if (state?.running) up.push(name);
    }
    return up;
  }

  /**
   * Stops them in order, each confirmed by inspect; at the end all are looked at again, and those
   * that came back by themselves are stopped again. When it throws, some may be stopped: call
   * `start` with what ran before.
   */
  async stop(names: readonly string[], options: StopOptions): Promise<void> {
    for (const name of names) {
      await this.#stopOne(name, options.signal);
      await options.onStopped?.(name);
    }
    await this.confirmStopped(names, options);
  }

  /**
   * To be called again right before the swap: an engine that restarted meanwhile starts
   * `restart: always` containers, and somebody may have re-created one, or started one that didn't
   * run. So besides `names` all that RESTORE_STOP_CONTAINERS means by now is stopped. Throws
   * `containers/stop-failed` for one that keeps coming back.
   */
  async confirmStopped(names: readonly string[], options: StopOptions): Promise<void> {
    const { signal } = options;
    for (let round = 1; ; round++) {
      const meant = await this.#meantByNow(signal);
      const back = await this.running([...new Set([...names, ...meant])], signal);
      if (back.length === 0) return;
      if (round > STOP_ROUNDS) throw keepsComingBack(back);
      this.#log.warn({ containers: back }, 'containers came back; stopping them again');
      await options.onCameBack?.(back);
      for (const name of back) await this.#stopOne(name, signal);
    }
  }

  /** Exact names as they stand: looking at them is left to the caller. */
  async #meantByNow(signal: AbortSignal): Promise<string[]> {
    const names: string[] = [];
    const others: string[] = [];
    for (const text of this.#config.stop) {
      const selector = parseSelector(text);
      if (selector.kind === 'name') names.push(selector.name);
      else others.push(text);
    }
    if (others.length === 0) return names;
    const what = others.join(',');
    return [...names, ...(await this.#patiently(what, signal, () => this.#listed(others, signal)))];
  }

  /**
   * Starts what ran before in reverse order, then the extras of RESTORE_START_CONTAINERS, and waits
   * until they run and are healthy. Never throws for a container: each one's end is in the result.
   * While Docker is away it goes on trying until the signal fires (`run/aborted`).
   *
   * `wereRunning` is in the order in which they were stopped.
   */
  async start(wereRunning: readonly string[], options: StartOptions): Promise<StartResult> {
    const reversed = [...wereRunning].reverse();
    const asked = this.#config.start.filter((text) => !reversed.includes(text));
    return this.#starter.start(reversed, options, async () => {
      const extras = await this.#resolve(asked, options.signal);
      return extras.filter((name) => !reversed.includes(name));
    });
  }

  /** For `doctor` and at start: Docker answers, and every selector means something. */
  async checks(signal: AbortSignal): Promise<CheckResult[]> {
    if (!this.isConfigured) {
      const message =
        'no containers are stopped for a restore (RESTORE_STOP_CONTAINERS is not set)';
      return [{ id: 'containers/targets', status: 'ok', message }];
    }
    return [...(await this.#runtime.checks(signal)), await this.#checkTargets(signal)];
  }

  async #checkTargets(signal: AbortSignal): Promise<CheckResult> {
    const id = 'containers/targets';
    try {
      const { stop, start } = await this.resolve(signal);
      const extras = start.length > 0 ? `; would also start ${start.join(', ')}` : '';
      const message = `a restore would stop ${stop.join(', ') || 'nothing'}${extras}`;
      return { id, status: 'ok', message };
    } catch (error) {
      if (isAbort(error)) throw error;
      const { message, hint } = errorReport(error);
      return { id, status: 'failed', message, hint };
    }
  }

  #resolve(selectors: readonly string[], signal: AbortSignal): Promise<string[]> {
    const { project } = this.#config;
    const rules = { project, ownId: this.#ownId, reserved: this.#reserved };
    return resolveTargets(selectors, rules, this.#runtime, signal);
  }

  #stopOne(name: string, signal: AbortSignal): Promise<void> {
    const grace = this.#config.stopGraceSeconds;
    const stop = () => this.#runtime.stop(name, grace, signal);
    return this.#patiently(name, signal, stop, isAwayOrRecreated);
  }

  #patiently<T>(
    name: string,
    signal: AbortSignal,
    operation: () => Promise<T>,
    isRetryable?: (error: unknown) => boolean,
  ): Promise<T> {
    return retry(operation, {
      clock: this.#clock,
      signal,
      backoff: stopBackoff,
      ...(isRetryable ? { isRetryable } : {}),
      onRetry: (error, attempt, delayMs) =>
        this.#log.warn(
          { container: name, attempt, delayMs, error },
          'docker did not do it yet; trying again',
        ),
    });
  }
}

/** While a container is re-created there is none of its name for a moment. */
function isAwayOrRecreated(error: unknown): boolean {
  return (
    error instanceof DropbackError && (error.retryable || error.code === 'containers/not-found')
  );
}
