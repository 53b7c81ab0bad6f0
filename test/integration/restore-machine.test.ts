import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterEach, expect, test } from 'vitest';
import { sampleManifest } from '../support/backups.ts';
import { script, World, type WorldOptions } from '../support/restore/world.ts';

let world: World;
afterEach(() => world?.remove());

async function started(options: WorldOptions = {}): Promise<World> {
  world = await World.create(options);
  return world.start();
}

test('a drop is restored, the application comes back, the old database is kept', async () => {
  await started();
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'restored', folder: 'done', attempts: 1, rows: 1 });
  expect(report.steps.map(({ name }) => name)).toEqual([
    'claim',
    'inspect',
    'stage',
    'check',
    'stop',
    'swap',
    'start',
  ]);
  expect(report.downtimeMs).toBeGreaterThanOrEqual(0);
  expect(report.stopped).toEqual(['web', 'worker']);
  expect(await world.liveText()).toBe(script('fresh'));
  expect(world.runtime.get('web')).toBe('running');
  expect(world.runtime.get('worker')).toBe('running');
  expect(await readFile(world.path('done', 'app.sql'), 'utf8')).toBe(script('fresh'));
  expect(await readFile(report.previous?.name ?? '', 'utf8')).toBe(script('old'));
  await expect.poll(() => readdir(world.path('work')), { timeout: 10_000 }).toEqual([]);
  expect(await readdir(world.path())).not.toContain('stopped.json');
});

test('only what was running is started again', async () => {
  world = await World.create();
  world.runtime.set('worker', 'exited');
  world.start();
  await world.drop('app.sql', script('fresh'));
  await world.report('app.sql');
  expect(world.runtime.get('worker')).toBe('exited');
  expect(world.runtime.get('web')).toBe('running');
});

test('a container that comes back in the swap is started anew, and told', async () => {
  const calls: string[] = [];
  world = await World.create({
    engineFault: async (call) => {
      if (call === 'mid-swap') world.runtime.set('web', 'running');
    },
    containerFault: (call) => calls.push(call),
  });
  world.start();
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'restored', stopped: ['web', 'worker'] });
  expect(report.warnings.join()).toMatch(/came back while the databases were swapped.*: web /);
  const ofWeb = calls.filter((call) => /^(stop|start) web$/.test(call));
  expect(ofWeb).toEqual(['stop web', 'stop web', 'start web']);
  expect(world.runtime.get('web')).toBe('running');
  expect(world.runtime.get('worker')).toBe('running');
});

test.each(['stop web', 'mid-swap'])(
  'a container that did not run, and is started by somebody at %s, is stopped for the swap, and runs again',
  async (moment) => {
    const calls: string[] = [];
    const startWorker = (call: string) => {
      if (call === moment && !calls.includes(moment)) world.runtime.set('worker', 'running');
      calls.push(call);
    };
    world = await World.create({
      engineFault: async (call) => startWorker(call),
      containerFault: startWorker,
    });
    world.runtime.set('worker', 'exited');
    world.start();
    await world.drop('app.sql', script('fresh'));
    const report = await world.report('app.sql');
    expect(report).toMatchObject({ outcome: 'restored', stopped: ['web', 'worker'] });
    expect(report.warnings.join()).toMatch(/came back while .*: worker /);
    expect(calls.filter((call) => /^(stop|start) worker$/.test(call))).toEqual([
      'stop worker',
      'start worker',
    ]);
    expect(world.runtime.get('worker')).toBe('running');
  },
);

test('a container that is re-created when it is to be stopped is waited for', async () => {
  let looks = 0;
  world = await World.create({
    engineFault: async (call) => {
      if (call !== 'check') return;
      await rm(`${world.root}/containers/web`);
      looks = 1;
    },
    containerFault: (call) => {
      if (looks > 0 && call === 'inspect web' && looks++ === 2) world.runtime.set('web', 'running');
    },
  });
  world.start();
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'restored', attempts: 1, stopped: ['web', 'worker'] });
  expect(world.runtime.get('web')).toBe('running');
});

test('what is there at start is taken in order of arrival', async () => {
  world = await World.create();
  await world.drop('b.sql', script('first'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await world.drop('a.sql', script('second'));
  world.start();
  const first = await world.report('b.sql');
  const second = await world.report('a.sql');
  expect(first.finishedAt < second.finishedAt).toBe(true);
  expect(await world.liveText()).toBe(script('second'));
  const kept = () => world.daemon.status().previous;
  await world.until(() => kept()[0]?.id === second.previous?.id);
  expect(kept()).toHaveLength(1);
  expect(await readFile(kept()[0]?.name ?? '', 'utf8')).toBe(script('first'));
});

test('incoming/check/ tests a dump and swaps nothing', async () => {
  await started({ stop: ['web', 'missing'] });
  await world.drop('app.sql', script('fresh'), world.path('incoming', 'check'));
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'checked', kind: 'check', folder: 'done' });
  expect(await world.liveText()).toBe(script('old'));
  expect(await readdir(`${world.root}/data`)).toEqual(['app.db']);
});

test('a slow writer is waited for', async () => {
  await started({ config: { settleMs: 6000 } });
  const content = script('fresh');
  const path = world.path('incoming', 'slow.sql');
  await writeFile(path, content.slice(0, 40));
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(await readdir(world.path('incoming'))).toContain('slow.sql');
  await writeFile(path, content);
  expect(await world.report('slow.sql')).toMatchObject({ outcome: 'restored' });
});

test('a failure before the swap brings everything back', async () => {
  await started({
    engineFault: (call) => {
      if (call === 'swap') throw new Error('the disk of the server is gone');
    },
  });
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'failed', folder: 'failed' });
  expect(report.error?.message).toContain('the disk of the server is gone');
  expect(await world.liveText()).toBe(script('old'));
  expect(world.runtime.get('web')).toBe('running');
  expect(await readdir(`${world.root}/data`)).toEqual(['app.db']);
  expect(await readFile(world.path('failed', 'app.sql'), 'utf8')).toBe(script('fresh'));
});

test('a swap that was done although it threw goes forward', async () => {
  await started({
    engineFault: (call) => {
      if (call === 'swapped') throw new Error('the connection broke');
    },
  });
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'restored', folder: 'done' });
  expect(await readFile(report.previous?.name ?? '', 'utf8')).toBe(script('old'));
  expect(world.runtime.get('web')).toBe('running');
});

test('containers that do not exist yet hold a drop back, nothing is claimed', async () => {
  world = await World.create({ stop: ['web', 'late'] });
  world.start();
  await world.drop('app.sql', script('fresh'));
  await world.until(() =>
    world.daemon.status().problems.some(({ id }) => id === 'containers/not-found'),
  );
  expect(world.daemon.status().problems[0]?.hint).toContain('worker');
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(await readdir(world.path('incoming'))).toContain('app.sql');
  world.runtime.set('late', 'running');
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
});

test('a database that is down is waited for', async () => {
  let isDown = true;
  await started({
    engineFault: (call) => {
      if (call === 'probe' && isDown) throw new Error('connection refused');
    },
  });
  await world.drop('app.sql', script('fresh'));
  await world.until(() => world.daemon.status().problems.length > 0);
  isDown = false;
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
  expect(world.daemon.status().problems).toEqual([]);
});

test('a container that cannot be started is told, remembered and started later', async () => {
  let broken = true;
  await started({
    containerFault: (call) => {
      if (broken && call === 'start web') throw new Error('port is taken');
    },
  });
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql', 90_000);
  expect(report.outcome).toBe('restored');
  expect(report.warnings.join()).toContain('web');
  expect(await readdir(world.path())).toContain('stopped.json');
  broken = false;
  await world.until(() => world.runtime.get('web') === 'running', 90_000);
  await world.until(async () => !(await readdir(world.path())).includes('stopped.json'));
}, 200_000);

test('stop-first stops before staging', async () => {
  const seen: string[] = [];
  await started({
    config: { stopFirst: true },
    engineFault: (call) => {
      if (call === 'stage') seen.push(world.runtime.get('web') ?? '');
    },
  });
  await world.drop('app.sql', script('fresh'));
  await world.report('app.sql');
  expect(seen).toEqual(['exited']);
  expect(world.runtime.get('web')).toBe('running');
});

test('asked to end in the middle, it undoes, and takes the drop up again at the next start', async () => {
  const reached = Promise.withResolvers<void>();
  const hold = Promise.withResolvers<void>();
  const content = script('fresh');
  const own = sampleManifest(Buffer.from(content));
  let checks = 0;
  await started({
    manifests: new Map([[own.archive.sha256, own]]),
    engineFault: async (call) => {
      if (call !== 'check' || ++checks < 2) return;
      reached.resolve();
      await hold.promise;
    },
  });
  await world.drop('before.sql', script('before'));
  await world.report('before.sql');
  await world.drop('app.sql', content);
  await reached.promise;
  const ending = world.stop();
  hold.resolve();
  await ending;
  expect(await world.liveText()).toBe(script('before'));
  // The catalogue, S3, is away: what the file is was seen before.
  const lasts: (string | undefined)[] = [];
  world = new World(world.root, {
    engineFault: (call) =>
      void (call === 'stage' && lasts.push(world.daemon.status().last?.source)),
  }).start();
  const report = await world.report('app.sql');
  expect(report).toMatchObject({ outcome: 'restored', attempts: 1, producer: 'dropback' });
  expect(lasts).toEqual(['before.sql']);
});

test('a second daemon on the folder waits for the first', async () => {
  await started();
  await world.until(() => world.daemon.status().state === 'idle');
  const second = new World(world.root).start();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(second.daemon.status().state).toBe('waiting-for-other-daemon');
  await world.stop();
  await second.until(() => second.daemon.status().state === 'idle');
  await second.stop();
});

test('the previous database is dropped when its time is over, also after a restart', async () => {
  await started();
  await world.drop('app.sql', script('fresh'));
  const report = await world.report('app.sql');
  await world.stop();
  expect(await readdir(`${world.root}/data`)).toHaveLength(2);
  world = new World(world.root, { config: { keepPreviousMs: 1 } }).start();
  await world.until(async () => (await readdir(`${world.root}/data`)).length === 1);
  expect(report.previous).toBeDefined();
  expect(await readdir(world.path('previous'))).toEqual([]);
});
