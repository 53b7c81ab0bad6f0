import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dropName } from '../../support/drop-name.ts';
import { buildImage, findEngine } from './engine.ts';
import { Stack, until } from './stack.ts';

const engine = await findEngine();

const GRACE_SECONDS = 2;

/** One that ignores SIGTERM, and one that is stopped all the time. */
const workers = `
services:
  stubborn:
    image: dropback-demo-web
    entrypoint: [node, -e, "process.on('SIGTERM', () => console.log('no')); setInterval(() => {}, 1000)"]
    healthcheck: { disable: true }
  idle:
    image: dropback-demo-web
    entrypoint: [node, -e, "process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 1000)"]
    healthcheck: { disable: true }
  late:
    image: dropback-demo-web
    entrypoint: [node, -e, "process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 1000)"]
    healthcheck: { disable: true }
  # Sooner than in earnest.
  db-restore:
    healthcheck: { interval: 1s, start_period: 1s }
`;

describe.skipIf(!engine)('what a restore stops and starts', () => {
  let stack: Stack;
  let other: Stack;
  let archive: string;

  beforeAll(async () => {
    await buildImage();
    const options = {
      files: ['docker/compose.prod.yml', 'docker/compose.backup.yml', 'docker/workers.yml'],
      profiles: ['postgres'],
      extraFiles: { 'docker/workers.yml': workers },
      settings: {
        RESTORE_STOP_CONTAINERS: 'service:web,service:stubborn,service:idle',
        RESTORE_STOP_TIMEOUT: String(GRACE_SECONDS),
        RESTORE_POLL_INTERVAL: '1',
      },
    };
    [stack, other] = [await Stack.create(options), await Stack.create(options)];
    for (const each of [stack, other]) {
      await each.compose(['up', '--build', '-d', 'gateway', 'web', 'postgres', 'stubborn', 'idle']);
      await each.compose(['up', '-d', 'db-backup', 'db-restore']);
      await each.compose(['stop', 'idle']);
    }
    for (const each of [stack, other]) {
      await until('the application', async () => (await each.fetch()).status === 200, 400);
      await each.addRecords('kept', 100);
      const made = await each.backUp();
      if (each === stack) archive = made;
      await each.removeRecords();
    }
  }, 900_000);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
  }, 120_000);

  test('one that ignores SIGTERM is stopped in bounds and comes back; a stopped one stays stopped; another project is left alone', async () => {
    const before = { ...(await stack.startTimes()), ...(await other.startTimes()) };
    await stack.drop(archive);
    const done = async () => Object.values(await stack.reports('done')).at(0);
    const report = await until('the restore', done, 90);
    expect(report.outcome).toBe('restored');
    expect(await stack.countRecords()).toBe(100);
    expect(await other.countRecords()).toBe(0);
    expect(report['stopped']).toEqual([stack.name('web'), stack.name('stubborn')]);
    // It had its grace, and no more than that and what a busy engine needs to kill it.
    const steps = report['steps'] as { name: string; durationMs: number }[];
    const stopMs = steps.find(({ name }) => name === 'stop')?.durationMs;
    expect(stopMs).toBeGreaterThan(GRACE_SECONDS * 1000 - 100);
    expect(stopMs).toBeLessThan(GRACE_SECONDS * 1000 + 60_000);
    expect(await stack.logs('stubborn')).toContain('no');
    expect((await stack.inspect('stubborn')).running).toBe(true);
    expect((await stack.inspect('idle')).running).toBe(false);
    const after = { ...(await stack.startTimes()), ...(await other.startTimes()) };
    const changed = Object.keys(before).filter((name) => before[name] !== after[name]);
    expect(changed.sort()).toEqual([`/${stack.name('stubborn')}`, `/${stack.name('web')}`]);
  }, 150_000);

  test('a name that does not exist: told with those that do, unhealthy, nothing restored; mended when it appears', async () => {
    await stack.configure({ RESTORE_STOP_CONTAINERS: 'service:web,service:late' });
    await stack.compose(['up', '-d', '--no-deps', 'db-restore']);
    const told = async () => (await stack.logs('db-restore')).includes('service:late');
    await until('the name in the log', told, 60);
    expect(await stack.logs('db-restore')).toContain(stack.name('web'));
    await until(
      'unhealthy',
      async () => (await stack.inspect('db-restore')).health === 'unhealthy',
      120,
    );
    await stack.removeRecords();
    const before = await stack.startTimes();
    await stack.drop(archive, dropName('again', archive));
    const waits = async () =>
      (await stack.restoreStatus()).queue.some(({ name }) => name === dropName('again', archive));
    await until('the drop to wait', waits);
    expect(await stack.startTimes()).toEqual(before);
    expect(await stack.countRecords()).toBe(0);
    await stack.compose(['up', '-d', '--no-deps', 'late']);
    await until(
      'healthy',
      async () => (await stack.inspect('db-restore')).health === 'healthy',
      120,
    );
    // The drop has waited for this one: it is stopped and started for it.
    const filed = async () =>
      (await stack.reports('done'))[`${dropName('again', archive)}.report.json`];
    const report = await until('the waiting drop to be restored', filed, 120);
    expect(report['stopped']).toContain(stack.name('late'));
    expect(await stack.countRecords()).toBe(100);
    expect((await stack.inspect('late')).running).toBe(true);
  }, 300_000);
});
