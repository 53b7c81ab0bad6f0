import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Application } from '../../src/core/containers/application.ts';
import { DockerRuntime } from '../../src/core/containers/docker.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { healthOf } from '../../src/restore/serve.ts';
import { TestContainers } from '../support/containers.ts';
import { DockerRelay } from '../support/docker-relay.ts';
import { script, World, type WorldOptions } from '../support/restore/world.ts';
import { testbed } from '../support/testbed.ts';

const child = new URL('../support/restore/docker-crash-child.ts', import.meta.url).pathname;

vi.setConfig({ testTimeout: 120_000 });

/** Waits between attempts are short, so that an outage fits a test. */
const hastyClock = {
  ...systemClock,
  sleep: (ms: number, signal: AbortSignal) => systemClock.sleep(Math.min(ms, 50), signal),
};

describe.skipIf(!testbed.docker)('a restore while Docker misbehaves', () => {
  const containers = new TestContainers();
  let relay: DockerRelay;
  let world: World;
  let web: string;
  /** Takes three seconds to end after SIGTERM. */
  let slow: string;

  beforeAll(async () => {
    web = await containers.create('web');
    slow = await containers.create('slow', {
      script: 'trap "sleep 3; exit 0" TERM; while :; do sleep 0.1; done',
    });
  });
  afterEach(async () => {
    await world.remove();
    await relay[Symbol.asyncDispose]();
    for (const name of [web, slow])
      await containers.docker
        .getContainer(name)
        .start()
        .catch(() => {});
  });
  afterAll(() => containers[Symbol.asyncDispose]());

  async function begin(name: string, options: WorldOptions = {}, grace = 5): Promise<World> {
    relay = new DockerRelay(containers.host);
    await relay.up();
    world = await World.create({ ...options, application: application(name, grace) });
    return world.start();
  }

  function application(name: string, grace: number): Application {
    const { host } = relay;
    const timeouts = { callMs: 10_000, stopMarginMs: grace === 0 ? 300 : 20_000 };
    const runtime = new DockerRuntime(host, systemClock, timeouts);
    const config = { dockerHost: host, stop: [name], start: [], stopGraceSeconds: grace };
    return new Application(runtime, config, hastyClock, silentLogger(), undefined);
  }

  async function isRunning(name: string): Promise<boolean> {
    return (await containers.docker.getContainer(name).inspect()).State.Running;
  }

  async function startedAt(name: string): Promise<string> {
    return (await containers.docker.getContainer(name).inspect()).State.StartedAt;
  }

  const health = () => healthOf(world.daemon.status());

  test('the socket is gone after the stop: unhealthy until the application is back', async () => {
    await begin(web, {
      checkpoint: async (name) => {
        if (name === 'after engine swap') await relay.down();
      },
    });
    await world.drop('app.sql', script('fresh'));
    await world.until(() => world.daemon.status().problems.length > 0);
    expect(world.daemon.status().problems).toMatchObject([{ id: 'containers/unreachable' }]);
    expect(health()).toMatchObject({ live: false, ready: false });
    expect(await isRunning(web)).toBe(false);
    expect(await readdir(world.path())).toContain('stopped.json');
    await relay.up();
    expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored', attempts: 1 });
    expect(await isRunning(web)).toBe(true);
    expect(health()).toMatchObject({ live: true });
    expect(await readdir(world.path())).not.toContain('stopped.json');
  });

  test('the socket is gone before the swap: undone, and done when Docker is back', async () => {
    let isFirst = true;
    await begin(web, {
      checkpoint: async (name) => {
        if (name !== 'before step swap' || !isFirst) return;
        isFirst = false;
        await relay.down();
      },
    });
    await world.drop('app.sql', script('fresh'));
    await world.until(() => world.daemon.status().problems.length > 0);
    expect(await world.liveText()).toBe(script('old'));
    await relay.up();
    expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored', attempts: 2 });
    expect(await isRunning(web)).toBe(true);
  });

  test('a stop that hangs: undone, and started again when it takes effect at last', async () => {
    await begin(web, {}, 0);
    let hangs = true;
    const held: (() => void)[] = [];
    relay.interfere = async (line) => {
      if (hangs && line.includes('/stop')) await new Promise<void>((resolve) => held.push(resolve));
      return false;
    };
    await world.drop('app.sql', script('fresh'));
    const report = await world.report('app.sql');
    expect(report).toMatchObject({ outcome: 'failed', error: { code: 'containers/unreachable' } });
    expect(await world.liveText()).toBe(script('old'));
    expect(await isRunning(web)).toBe(true);
    hangs = false;
    const before = (await containers.docker.getContainer(web).inspect()).State.StartedAt;
    for (const release of held) release();
    await world.until(async () => {
      const { State } = await containers.docker.getContainer(web).inspect();
      return State.Running && State.StartedAt > before;
    });
  });

  test('asked to end while a container stops: the stop is seen to its end, then undone', async () => {
    await begin(slow);
    const started = await startedAt(slow);
    await world.drop('app.sql', script('fresh'));
    await world.until(() => relay.requests.some((line) => line.includes('/stop')));
    await world.stop();
    expect(await world.liveText()).toBe(script('old'));
    // It did end, and was started after that: no stop is on its way any more.
    const { State } = await containers.docker.getContainer(slow).inspect();
    expect(State).toMatchObject({ Running: true });
    expect(State.FinishedAt > started).toBe(true);
    expect(State.StartedAt > State.FinishedAt).toBe(true);
    expect(await readdir(world.path())).not.toContain('stopped.json');
  });

  test('killed while a container stops: it runs in the end, though the stop comes late', async () => {
    relay = new DockerRelay(containers.host);
    await relay.up();
    world = await World.create({ application: application(slow, 5) });
    await world.drop('app.sql', script('fresh'));
    const started = await startedAt(slow);
    const args = ['--disable-warning=ExperimentalWarning', child, world.root, relay.host, slow];
    const daemon = spawn(process.execPath, args, { stdio: 'ignore' });
    const ended = once(daemon, 'close');
    try {
      await world.until(() => relay.requests.some((line) => line.includes('/stop')), 60_000);
    } finally {
      daemon.kill('SIGKILL');
      await ended;
    }
    // Undone only: whoever is taken for running here is about to end.
    const journal = new World(world.root, {
      application: application(slow, 5),
      engineFault: refuse,
    });
    world = journal.start();
    const report = await world.report('app.sql', 60_000);
    expect(report.outcome).toBe('failed');
    await world.until(async () => (await startedAt(slow)) > started && (await isRunning(slow)));
    expect(await world.liveText()).toBe(script('old'));
  });
});

/** The second attempt ends before it stops anything. */
function refuse(call: string): void {
  if (call === 'inspect') throw new Error('not again');
}
