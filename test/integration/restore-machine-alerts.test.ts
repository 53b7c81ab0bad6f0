import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Alerts, News } from '../../src/core/alerts/alert.ts';
import { alertEvents } from '../../src/core/alerts/alert.ts';
import { Application } from '../../src/core/containers/application.ts';
import type { StartOptions } from '../../src/core/containers/start.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { DropbackError } from '../../src/core/runtime/errors.ts';
import { FileRuntime } from '../support/restore/file-runtime.ts';
import { script, World, type WorldOptions } from '../support/restore/world.ts';

let world: World;
afterEach(() => world?.remove());

/** What was said, in order: `tell restore-done`, `raise application application-down`. */
const said: string[] = [];
const news: News[] = [];

function listening(): Alerts {
  said.length = 0;
  news.length = 0;
  const note = async (line: string, one: News) => {
    // A trouble is raised again and again: the outbox knows what was told.
    if (said.includes(`${line} ${one.event}`)) return;
    said.push(`${line} ${one.event}`);
    news.push(one);
  };
  return {
    tell: (one) => note('tell', one),
    raise: (trouble, one) => note(`raise ${trouble}`, one),
    clear: async (trouble, one) => {
      if (said.some((line) => line.startsWith(`raise ${trouble} `)))
        await note(`clear ${trouble}`, one);
    },
    standing: () => [],
  };
}

async function started(options: WorldOptions = {}): Promise<void> {
  world = await World.create({ ...options, alerts: listening() });
  world.start();
}

test('a restore is told; so is an application that does not come back, and when it is back', async () => {
  let isBroken = true;
  await started({
    containerFault: (call) => {
      if (isBroken && call === 'start web') {
        throw new DropbackError('containers/start-failed', 'port taken', { hint: 'free it.' });
      }
    },
  });
  await world.drop('app.sql', script('fresh'));
  await world.until(() => said.includes('raise application application-down'), 60_000);
  isBroken = false;
  await world.until(() => said.includes('clear application application-back'), 60_000);
  expect(world.runtime.get('web')).toBe('running');
  const { id } = await world.report('app.sql');
  expect(said.filter((line) => line.startsWith('tell'))).toEqual([
    'tell restore-started',
    'tell restore-done',
  ]);
  // The same after a restart, so that it is told once.
  const told = news.filter(({ event }) => event.startsWith('restore-'));
  expect(told.map((one) => one.id)).toEqual([`${id}.started`, `${id}.ended`]);
});

/** Health checks are waited for a second only. */
class Impatient extends Application {
  override start(names: readonly string[], options: StartOptions) {
    return super.start(names, { ...options, healthTimeoutMs: 1000 });
  }
}

test('a restore after which the application is not healthy is told as a warning', async () => {
  const root = mkdtempSync(join(tmpdir(), 'dropback-machine-'));
  const runtime = new FileRuntime(join(root, 'containers'));
  runtime.sick.add('web');
  const containers = {
    dockerHost: 'unix:///nowhere',
    stop: ['web'],
    start: [],
    stopGraceSeconds: 1,
  };
  const application = new Impatient(runtime, containers, systemClock, silentLogger());
  await started({ root, application });
  await world.drop('app.sql', script('fresh'));
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
  expectWarning('container web runs, but its health check says unhealthy');
});

test('so is one after which RESTORE_START_CONTAINERS means no container', async () => {
  const forget = (call: string) => {
    if (call === 'start web') rmSync(join(world.root, 'containers', 'extra'), { force: true });
  };
  world = await World.create({ containerFault: forget, start: ['extra'], alerts: listening() });
  world.runtime.set('extra', 'exited');
  world.start();
  await world.drop('app.sql', script('fresh'));
  expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
  expectWarning('RESTORE_START_CONTAINERS');
});

function expectWarning(text: string): void {
  const ended = news.find(({ id }) => id?.endsWith('.ended'));
  expect(ended && alertEvents[ended.event]).toBe('warning');
  expect(ended?.lines?.join()).toContain(text);
  // It runs, so it is not down.
  expect(said.filter((line) => line.startsWith('raise'))).toEqual([]);
}

test('a journal that can not be used is told', async () => {
  world = await World.create({ alerts: listening() });
  await writeFile(world.path('state.json'), 'torn');
  await writeFile(world.path('state.json.1'), 'torn');
  world.start();
  await world.until(() => said.includes('raise restores restores-blocked'));
});
