import { expect, it } from 'vitest';
import type { ContainerRuntime } from '../../../src/core/containers/runtime.ts';
import { toDropbackError } from '../../../src/core/runtime/errors.ts';
import type { TestContainers } from '../../support/containers.ts';
import { stubbornly } from '../../support/containers.ts';

const signal = new AbortController().signal;

/** What every ContainerRuntime has to do; `world` makes real containers for it. */
export function containerRuntimeContract(
  world: () => TestContainers,
  runtime: () => ContainerRuntime,
) {
  it('lists the containers of a project alone, running or not', async () => {
    const web = await world().create('list-web');
    const idle = await world().create('list-idle', { started: false });
    const all = await runtime().list(undefined, signal);
    const ours = await runtime().list(world().project, signal);
    expect(all.map(({ name }) => name)).toEqual(expect.arrayContaining([web, idle]));
    const found = new Map(ours.map(({ name, running }) => [name, running]));
    expect(found.get(web)).toBe(true);
    expect(found.get(idle)).toBe(false);
    expect(
      ours.every(({ labels }) => labels['com.docker.compose.project'] === world().project),
    ).toBe(true);
  });

  it('inspects by exact name, never by a prefix or an id', async () => {
    const name = await world().create('exact');
    const state = await runtime().inspect(name, signal);
    expect(state).toMatchObject({ name, running: true, status: 'running', health: 'none' });
    expect(await runtime().inspect(name.slice(0, -1), signal)).toBeUndefined();
    expect(await runtime().inspect(state?.id ?? '', signal)).toBeUndefined();
    expect(await runtime().inspect(state?.id.slice(0, 12) ?? '', signal)).toBeUndefined();
    expect(await runtime().inspect('../../version', signal)).toBeUndefined();
  });

  it('stops and starts, and both again without harm', async () => {
    const name = await world().create('cycle');
    for (let time = 0; time < 2; time++) {
      await runtime().stop(name, 5, signal);
      expect(await runtime().inspect(name, signal)).toMatchObject({
        running: false,
        status: 'exited',
      });
    }
    for (let time = 0; time < 2; time++) {
      await runtime().start(name, signal);
      expect(await runtime().inspect(name, signal)).toMatchObject({ running: true });
    }
  });

  it('kills one that ignores SIGTERM when the grace is over', async () => {
    const name = await world().create('stubborn', { script: stubbornly });
    await runtime().stop(name, 1, signal);
    expect(await runtime().inspect(name, signal)).toMatchObject({ running: false, exitCode: 137 });
  });

  it('takes a paused container for running, stops it and starts it', async () => {
    const name = await world().create('paused');
    await world().docker.getContainer(name).pause();
    expect(await runtime().inspect(name, signal)).toMatchObject({
      running: true,
      status: 'paused',
    });
    await runtime().stop(name, 1, signal);
    expect(await runtime().inspect(name, signal)).toMatchObject({ running: false });
    await runtime().start(name, signal);
    expect(await runtime().inspect(name, signal)).toMatchObject({ status: 'running' });
  });

  it('wakes a paused container that is asked to start', async () => {
    const name = await world().create('frozen');
    await world().docker.getContainer(name).pause();
    await runtime().start(name, signal);
    expect(await runtime().inspect(name, signal)).toMatchObject({ status: 'running' });
  });

  it('stops one that its policy keeps restarting, and it stays stopped', async () => {
    const name = await world().create('looping', {
      script: 'sleep 0.2; exit 3',
      restart: 'always',
    });
    await runtime().stop(name, 1, signal);
    expect(await runtime().inspect(name, signal)).toMatchObject({ running: false });
  });

  it('sees --rm, and counts a vanished container as stopped', async () => {
    const name = await world().create('vanishing', { autoRemove: true });
    expect(await runtime().inspect(name, signal)).toMatchObject({ autoRemove: true });
    await runtime().stop(name, 1, signal);
    expect((await runtime().inspect(name, signal))?.running ?? false).toBe(false);
  });

  it('says containers/not-found for a name that does not exist', async () => {
    const nobody = world().name('nobody');
    await expect(runtime().stop(nobody, 1, signal)).rejects.toMatchObject({
      code: 'containers/not-found',
    });
    await expect(runtime().start(nobody, signal)).rejects.toMatchObject({
      code: 'containers/not-found',
    });
  });

  it('says containers/start-failed for one that ends at once', async () => {
    const name = await world().create('brief', { script: 'exit 7', started: false });
    // On a busy machine even its end takes longer than the look at it.
    const start = () =>
      runtime()
        .start(name, signal)
        .then(() => undefined, toDropbackError);
    await expect.poll(start, { timeout: 50_000, interval: 500 }).toMatchObject({
      code: 'containers/start-failed',
      message: expect.stringContaining('exit code 7'),
    });
  });

  it('shows health', async () => {
    const name = await world().create('healthy', { health: 'true' });
    await expect
      .poll(async () => (await runtime().inspect(name, signal))?.health, { timeout: 20_000 })
      .toBe('healthy');
  });

  it('ends soon after the signal', async () => {
    const name = await world().create('slow', { script: stubbornly });
    const ending = new AbortController();
    const stopping = runtime().stop(name, 60, ending.signal);
    setTimeout(() => ending.abort(), 300);
    await expect(stopping).rejects.toMatchObject({ code: 'run/aborted' });
  });

  it('checks that it can be reached and may stop', async () => {
    const results = await runtime().checks(signal);
    expect(results.map(({ status }) => status)).toEqual(results.map(() => 'ok'));
  });
}
