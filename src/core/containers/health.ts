import type { Clock } from '../runtime/clock.ts';
import { DropbackError, errorReport, isAbort } from '../runtime/errors.ts';
import type { ContainerRuntime, ContainerState } from './runtime.ts';
import type { StartedContainer } from './start.ts';

const LOOK_AGAIN_MS = 500;

/**
 * Waits until a container that was started is healthy, or, where it has no health check, runs and
 * still runs half a second later.
 * `until` is on the clock's monotonic scale. An unhealthy one may recover, so all the time is used.
 */
export async function waitForHealth(
  name: string,
  runtime: ContainerRuntime,
  clock: Clock,
  until: number,
  signal: AbortSignal,
): Promise<StartedContainer> {
  let hasRun = false;
  for (;;) {
    let state: ContainerState | undefined;
    let problem: DropbackError | undefined;
    try {
      state = await runtime.inspect(name, signal);
      problem = problemOf(name, state);
    } catch (error) {
      if (isAbort(error) || signal.aborted) throw error;
      problem = error instanceof DropbackError ? error : unknownState(name, error);
    }
    // One that fails at its start is seen running for a moment, too.
    const isSeenOnce = state?.health === 'none' && !hasRun;
    hasRun = problem === undefined;
    if (state && !problem && !isSeenOnce) {
      return { name, outcome: state.health === 'none' ? 'running' : 'healthy' };
    }
    // A container that has ended and isn't restarted by its policy won't run by waiting.
    const ended = state?.status === 'exited' || state?.status === 'dead';
    if (ended || clock.monotonic() >= until) {
      const runs = state?.status === 'running' || (state === undefined && problem?.retryable);
      const error = errorReport(problem);
      return { name, outcome: runs ? 'unhealthy' : 'failed', error };
    }
    await clock.sleep(LOOK_AGAIN_MS, signal);
  }
}

function problemOf(name: string, state: ContainerState | undefined): DropbackError | undefined {
  const hint = `docker logs ${name} says why.`;
  if (!state) {
    return new DropbackError('containers/not-found', `${name} is gone`, { hint });
  }
  if (state.status !== 'running') {
    const message = `it is ${state.status} (exit code ${state.exitCode})`;
    return new DropbackError('containers/start-failed', message, { hint });
  }
  if (state.health === 'none' || state.health === 'healthy') return undefined;
  return new DropbackError('containers/unhealthy', `its health check says ${state.health}`, {
    hint,
  });
}

function unknownState(name: string, cause: unknown): DropbackError {
  const hint = `docker inspect ${name} shows how it is.`;
  return new DropbackError('containers/unreachable', 'its state could not be read', {
    hint,
    cause,
  });
}
