import { randomBytes } from 'node:crypto';
import type { ContainerInspectInfo } from 'dockerode';
import type { CheckResult } from '../engines/engine.ts';
import type { Clock } from '../runtime/clock.ts';
import { errorReport } from '../runtime/errors.ts';
import { keepsComingBack, STOP_ROUNDS } from './coming-back.ts';
import { DockerConnection } from './docker-connection.ts';
import {
  alreadyDone,
  answerOf,
  notFound,
  startError,
  startFailed,
  statusOf,
  stopFailed,
} from './docker-errors.ts';
import { isUp, stateOf } from './docker-state.ts';
import type { ContainerRuntime, ContainerState, ContainerSummary } from './runtime.ts';
import { isName } from './selectors.ts';

export interface DockerTimeouts {
  /** Milliseconds that any call but stop may take. */
  readonly callMs: number;
  /** Milliseconds beyond the grace that a stop may take; the engine needs some to kill. */
  readonly stopMarginMs: number;
  /** Milliseconds for which a container that was just stopped or started may still look otherwise. */
  readonly settleMs: number;
}

const standardTimeouts: DockerTimeouts = { callMs: 20_000, stopMarginMs: 20_000, settleMs: 10_000 };

const LOOK_AGAIN_MS = 200;

/** Docker Engine's API; also Podman's, and a filtering proxy in front of either. */
export class DockerRuntime implements ContainerRuntime {
  readonly description: string;
  readonly #connection: DockerConnection;
  readonly #clock: Clock;
  readonly #timeouts: DockerTimeouts;

  constructor(dockerHost: string, clock: Clock, timeouts: Partial<DockerTimeouts> = {}) {
    this.description = dockerHost;
    this.#connection = new DockerConnection(dockerHost);
    this.#clock = clock;
    this.#timeouts = { ...standardTimeouts, ...timeouts };
  }

  async checks(signal: AbortSignal): Promise<CheckResult[]> {
    return [await this.#checkAnswers(signal), await this.#checkMayStop(signal)];
  }

  async list(project: string | undefined, signal: AbortSignal): Promise<ContainerSummary[]> {
    const filters =
      project === undefined ? {} : { label: [`com.docker.compose.project=${project}`] };
    const found = await this.#call('list the containers', signal, (options) =>
      this.#connection.docker.listContainers({ all: true, filters, ...options }),
    );
    return found.map(({ Id, Names, Labels, State }) => ({
      id: Id,
      // Links add further names with a slash inside; the container's own has only the first.
      name: (Names.find((name) => name.lastIndexOf('/') === 0) ?? Names[0] ?? '').slice(1),
      labels: Labels ?? {},
      running: isUp(State),
    }));
  }

  async inspect(name: string, signal: AbortSignal): Promise<ContainerState | undefined> {
    if (!isName(name)) return undefined;
    const info = await this.#connection.call<ContainerInspectInfo | 'missing'>(
      `inspect the container ${name}`,
      this.#timeouts.callMs,
      signal,
      (options) => this.#container(name).inspect(options),
      (error) => (statusOf(error) === 404 ? 'missing' : undefined),
    );
    // The API also answers to IDs and their prefixes.
    return info === 'missing' || info.Name !== `/${name}` ? undefined : stateOf(info, name);
  }

  async stop(name: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    let before = await this.#mustExist(name, signal);
    for (let round = 1; ; round++) {
      if (before.running) await this.#requestStop(name, graceSeconds, signal);
      const { startedAt } = before;
      const isSettled = (state?: ContainerState) =>
        !state?.running || state.startedAt !== startedAt;
      const last = await this.#settled(name, signal, isSettled);
      if (!last?.running) return;
      // Somebody started it between the stop and the look at it.
      if (last.startedAt === startedAt) throw stopFailed(name, `it is still ${last.status}`);
      if (round > STOP_ROUNDS) throw keepsComingBack([name]);
      before = last;
    }
  }

  async start(name: string, signal: AbortSignal): Promise<void> {
    const { status } = await this.#mustExist(name, signal);
    if (status !== 'running') {
      await this.#connection.call<unknown>(
        `start the container ${name}`,
        this.#timeouts.callMs,
        signal,
        (options) => {
          const container = this.#container(name);
          // A frozen container runs already for `start`, which refuses it.
          return status === 'paused' ? container.unpause(options) : container.start(options);
        },
        (error) => alreadyDone(error) || startError(name, error),
      );
    }
    const last = await this.#settled(name, signal, (state) => state?.status === 'running');
    if (!last) throw notFound(name);
    if (last.status !== 'running') {
      throw startFailed(name, `it is ${last.status} (exit code ${last.exitCode})`);
    }
  }

  async #requestStop(name: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.#connection.call<unknown>(
      `stop the container ${name}`,
      graceSeconds * 1000 + this.#timeouts.stopMarginMs,
      signal,
      (options) => this.#container(name).stop({ t: graceSeconds, ...options }),
      (error) => {
        if (alreadyDone(error)) return true;
        if (statusOf(error) === 404) throw notFound(name);
        const failed = statusOf(error) === 409 || statusOf(error) === 500;
        if (failed) throw stopFailed(name, answerOf(error), error);
        return undefined;
      },
    );
  }

  async #mustExist(name: string, signal: AbortSignal): Promise<ContainerState> {
    const state = await this.inspect(name, signal);
    if (!state) throw notFound(name);
    return state;
  }

  /** Looks until the state is as wanted or the time is over; returns what it saw last. */
  async #settled(
    name: string,
    signal: AbortSignal,
    wanted: (state: ContainerState | undefined) => boolean,
  ): Promise<ContainerState | undefined> {
    const until = this.#clock.monotonic() + this.#timeouts.settleMs;
    for (;;) {
      const state = await this.inspect(name, signal);
      // Exited after a start stays exited: a restart policy would show it as restarting.
      const final = wanted(state) || state === undefined || state.status === 'exited';
      if (final || this.#clock.monotonic() >= until) return state;
      await this.#clock.sleep(LOOK_AGAIN_MS, signal);
    }
  }

  #container(name: string) {
    return this.#connection.docker.getContainer(name);
  }

  #call<T>(
    deed: string,
    signal: AbortSignal,
    request: (options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    return this.#connection.call(deed, this.#timeouts.callMs, signal, request);
  }

  async #checkAnswers(signal: AbortSignal): Promise<CheckResult> {
    const id = 'containers/docker';
    try {
      const version = await this.#call('ask for the version', signal, (options) =>
        (this.#connection.docker as object as VersionCall).version(options),
      );
      return { id, status: 'ok', message: `docker ${version.Version} at ${this.description}` };
    } catch (error) {
      const { message, hint } = errorReport(error);
      return { id, status: 'failed', message, hint };
    }
  }

  /** Stops a container that cannot exist: the engine says 404, a proxy that forbids it 403. */
  async #checkMayStop(signal: AbortSignal): Promise<CheckResult> {
    const id = 'containers/rights';
    const nobody = `dropback-probe-${randomBytes(8).toString('hex')}`;
    try {
      await this.#requestStop(nobody, 0, signal);
    } catch (error) {
      const { code, message, hint } = errorReport(error);
      if (code !== 'containers/not-found') {
        const status = code === 'containers/refused' ? 'warning' : 'failed';
        return { id, status, message, hint };
      }
    }
    return { id, status: 'ok', message: 'may stop containers' };
  }
}

/** The types leave out that it takes options, as every call does. */
interface VersionCall {
  version(options: object): Promise<{ Version: string }>;
}
