import { expect, test } from 'vitest';
import { waitForHealth } from '../../../src/core/containers/health.ts';
import type { ContainerRuntime, ContainerState } from '../../../src/core/containers/runtime.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';

const base: ContainerState = {
  id: 'id',
  name: 'web',
  labels: {},
  running: true,
  status: 'running',
  health: 'none',
  exitCode: 0,
  autoRemove: false,
  addresses: [],
  publishedPorts: [],
  startedAt: '2026-01-01T00:00:00Z',
  image: 'test',
};

/** Says these in turn, and the last one for ever. */
function wait(...states: Partial<ContainerState>[]) {
  const left = [...states];
  const inspect = async () => ({ ...base, ...(left.length > 1 ? left.shift() : left[0]) });
  const runtime = { inspect } as unknown as ContainerRuntime;
  const { signal } = new AbortController();
  return waitForHealth('web', runtime, systemClock, systemClock.monotonic() + 5000, signal);
}

test('one that runs and goes on running', async () => {
  expect(await wait({})).toEqual({ name: 'web', outcome: 'running' });
});

test('one that is seen running and then ends does not run', async () => {
  const ended = { running: false, status: 'exited', exitCode: 3 } as const;
  expect(await wait({}, ended)).toMatchObject({ outcome: 'failed' });
});

test('one with a health check is believed at once', async () => {
  expect(await wait({ health: 'starting' }, { health: 'healthy' })).toEqual({
    name: 'web',
    outcome: 'healthy',
  });
});
