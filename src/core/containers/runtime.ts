import type { CheckResult } from '../engines/engine.ts';

/**
 * The seam between a restore and whatever runs the application's containers. Implementation:
 * `docker.ts`; the contract suite in test/contracts/container-runtime runs on each.
 *
 * Contract:
 * - Names are exact: a runtime that resolves prefixes must compare the name that it got back.
 * - `stop` and `start` are idempotent, and settle only after `inspect` has shown the new state.
 * - Every call has a time-out of its own. Errors: `containers/unreachable` (retryable),
 *   `containers/not-found`, `containers/refused` (a proxy's policy), `containers/stop-failed`,
 *   `containers/start-failed`. Implementations retry nothing: the machine does.
 */
export interface ContainerRuntime {
  /** For messages: `unix:///var/run/docker.sock`. */
  readonly description: string;
  checks(signal: AbortSignal): Promise<CheckResult[]>;
  /** Every container that can be seen, running or not; with a project, those of it alone. */
  list(project: string | undefined, signal: AbortSignal): Promise<ContainerSummary[]>;
  /** Undefined where no container has exactly this name. */
  inspect(name: string, signal: AbortSignal): Promise<ContainerState | undefined>;
  /** Stops it, `graceSeconds` before the runtime kills it. */
  stop(name: string, graceSeconds: number, signal: AbortSignal): Promise<void>;
  /** Starts it; settles when it runs, without waiting for its health check. */
  start(name: string, signal: AbortSignal): Promise<void>;
}

export interface ContainerSummary {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly running: boolean;
}

export interface ContainerState extends ContainerSummary {
  readonly status: 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'dead' | 'removing';
  /** `none` where the container has no health check. */
  readonly health: 'none' | 'starting' | 'healthy' | 'unhealthy';
  readonly exitCode: number;
  /** Removed by the runtime when it stops (`docker run --rm`): may not be a target. */
  readonly autoRemove: boolean;
  /** IP addresses on its networks; none while it doesn't run. */
  readonly addresses: readonly string[];
  /** Ports of the host that lead to it. */
  readonly publishedPorts: readonly number[];
  /** ISO 8601. */
  readonly startedAt: string;
  readonly image: string;
}
