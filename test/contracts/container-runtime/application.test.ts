import { afterAll, describe, expect, it } from 'vitest';
import type { ContainersConfig } from '../../../src/core/config/config.ts';
import { Application } from '../../../src/core/containers/application.ts';
import { DockerRuntime } from '../../../src/core/containers/docker.ts';
import type { ReservedAddress } from '../../../src/core/containers/reserved.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { TestContainers } from '../../support/containers.ts';
import { testbed } from '../../support/testbed.ts';

const signal = new AbortController().signal;

describe.skipIf(!testbed.docker)('an application on a real engine', () => {
  const world = new TestContainers();
  const runtime = new DockerRuntime(world.host, systemClock);
  afterAll(() => world[Symbol.asyncDispose]());

  function application(
    config: Partial<ContainersConfig>,
    ownId?: string,
    reserved: readonly ReservedAddress[] = [],
  ) {
    const all = {
      dockerHost: world.host,
      project: world.project,
      stop: [],
      start: [],
      stopGraceSeconds: 2,
      ...config,
    };
    return new Application(
      runtime,
      all,
      systemClock,
      silentLogger(),
      ownId ?? 'no container',
      reserved,
    );
  }

  it('resolves names, services and labels in order, each once', async () => {
    const web2 = await world.create('web-2');
    const web1 = await world.create('web-1');
    const worker = await world.create('worker', { labels: { tier: 'jobs' } });
    const oneOff = { 'com.docker.compose.oneoff': 'True', tier: 'jobs' };
    await world.create('web-99', { labels: oneOff, started: false });
    const stop = ['label:tier=jobs', 'service:web', web2, worker];
    expect(await application({ stop }).resolve(signal)).toEqual({
      stop: [worker, web1, web2],
      start: [],
    });
    const both = await application({ stop: [web1], start: [worker] }).resolve(signal);
    expect(both).toEqual({ stop: [web1], start: [worker] });
  });

  it('names the containers that do exist, nearest first, for one that does not', async () => {
    const name = await world.create('backend');
    await world.create('somethingelse');
    const typo = name.replace('backend', 'bakcend');
    await expect(
      application({ stop: [typo, 'service:nope'] }).resolve(signal),
    ).rejects.toMatchObject({
      code: 'containers/not-found',
      message: expect.stringContaining(typo),
      hint: expect.stringContaining(name),
      facts: { missing: ['service:nope', typo] },
    });
    const wrong = application({ stop: [typo] }).resolve(signal);
    await expect(wrong).rejects.toMatchObject({
      facts: { existing: expect.arrayContaining([name]) },
      hint: expect.stringContaining(`the most similar first: ${name}`),
    });
  });

  it('names the project in which there is nothing', async () => {
    const project = `${world.project}-mistyped`;
    await expect(
      application({ project, stop: ['service:web'] }).resolve(signal),
    ).rejects.toMatchObject({
      code: 'containers/not-found',
      hint: expect.stringContaining(`the project ${project} has no other container`),
    });
  });

  it('refuses itself and --rm containers', async () => {
    const self = await world.create('self');
    const { id } = (await runtime.inspect(self, signal)) ?? { id: '' };
    const unsuitable = { code: 'containers/unsuitable' };
    await expect(
      application({ stop: [self] }, id.slice(0, 12)).resolve(signal),
    ).rejects.toMatchObject(unsuitable);
    const fleeting = await world.create('fleeting', { autoRemove: true });
    await expect(application({ stop: [fleeting] }).resolve(signal)).rejects.toMatchObject(
      unsuitable,
    );
  });

  it('refuses the container that the database or the proxy of the socket answers from', async () => {
    const name = await world.create('needed', { network: 'bridge', publish: true });
    const { NetworkSettings: found } = await world.docker.getContainer(name).inspect();
    const byAddress = { host: found.Networks['bridge']?.IPAddress ?? '', port: 5432 };
    const port = Number(found.Ports['5432/tcp']?.[0]?.HostPort);
    for (const [address, isRefused] of [
      [byAddress, true],
      [{ host: 'localhost', port }, true],
      [{ host: 'localhost', port: port === 1 ? 2 : 1 }, false],
      [{ host: 'no-such-host.invalid', port }, false],
      [{ host: '/var/run/postgresql', port }, false],
    ] as const) {
      const app = application({ stop: [name] }, undefined, [{ what: 'the database', ...address }]);
      const resolved = app.resolve(signal);
      if (!isRefused) expect(await resolved).toMatchObject({ stop: [name] });
      else
        await expect(resolved).rejects.toMatchObject({
          code: 'containers/unsuitable',
          message: expect.stringContaining('is the database'),
        });
    }
  });

  it('stops in order, starts only what ran, in reverse, then the extras', async () => {
    const first = await world.create('first');
    const second = await world.create('second', { health: 'true' });
    const idle = await world.create('idle', { started: false });
    const extra = await world.create('extra', { started: false });
    const app = application({ stop: [first, second, idle], start: [extra, first] });
    const { stop } = await app.resolve(signal);
    const ran = await app.running(stop, signal);
    expect(ran).toEqual([first, second]);
    const stopped: string[] = [];
    await app.stop(ran, { signal, onStopped: (name) => void stopped.push(name) });
    expect(stopped).toEqual([first, second]);
    expect(await app.running(stop, signal)).toEqual([]);

    const sent: string[] = [];
    const result = await app.start(ran, { signal, onStart: (name) => sent.push(name) });
    expect(sent).toEqual([second, first, extra]);
    expect(result).toEqual({
      containers: [
        { name: second, outcome: 'healthy' },
        { name: first, outcome: 'running' },
        { name: extra, outcome: 'running' },
      ],
      warnings: [],
    });
    expect(await app.running([idle], signal)).toEqual([]);
  });

  it('stops again what came back before the swap', async () => {
    const name = await world.create('returning');
    const app = application({ stop: [name] });
    await app.stop([name], { signal });
    await world.docker.getContainer(name).start();
    const told: string[] = [];
    await app.confirmStopped([name], { signal, onCameBack: (back) => void told.push(...back) });
    expect(told).toEqual([name]);
    expect(await app.running([name], signal)).toEqual([]);
  });

  it('stops one that is re-created at that very moment', async () => {
    const name = await world.create('replaced');
    const app = application({ stop: [name] });
    // As Compose does it: the new one gets the name once the old one is gone.
    const successor = world.docker.getContainer(await world.create('replaced-new'));
    await world.remove(name);
    const stopped = app.stop([name], { signal });
    await successor.rename({ name });
    await stopped;
    expect(await app.running([name], signal)).toEqual([]);
  });

  it('leaves one running that never gets healthy, and says so', async () => {
    const name = await world.create('sick', { health: 'exit 1', started: false });
    const app = application({ stop: [name] });
    const result = await app.start([name], { signal, healthTimeoutMs: 3000 });
    expect(result.containers).toMatchObject([
      { name, outcome: 'unhealthy', error: { code: 'containers/unhealthy' } },
    ]);
    expect(result.warnings).toHaveLength(1);
    expect(await app.running([name], signal)).toEqual([name]);
  });

  it('goes on with the others when one cannot be started, and finds a re-created one by name', async () => {
    const broken = await world.create('broken', { script: 'exit 3', started: false });
    const fine = await world.create('fine', { started: false });
    const recreated = await world.create('recreated');
    const app = application({ stop: [fine, recreated, broken] });
    await app.stop([recreated], { signal });
    await world.remove(recreated);
    const result = app.start([fine, recreated, broken], { signal });
    await world.create('recreated', { started: false });
    const { containers, warnings } = await result;
    expect(containers).toMatchObject([
      { name: broken, outcome: 'failed', error: { code: 'containers/start-failed' } },
      { name: recreated, outcome: 'running' },
      { name: fine, outcome: 'running' },
    ]);
    expect(warnings).toHaveLength(1);
  }, 90_000);

  it('checks its targets', async () => {
    const name = await world.create('checked');
    const fine = await application({ stop: [name] }).checks(signal);
    expect(fine.every(({ status }) => status === 'ok')).toBe(true);
    const wrong = await application({ stop: [`${name}x`] }).checks(signal);
    expect(wrong.at(-1)).toMatchObject({ id: 'containers/targets', status: 'failed' });
    expect(await application({}).checks(signal)).toMatchObject([{ status: 'ok' }]);
  });
});
