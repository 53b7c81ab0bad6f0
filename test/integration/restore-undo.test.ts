import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { RequestClient } from '../../src/core/requests/client.ts';
import type { RequestResult } from '../../src/core/requests/protocol.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { script, World, type WorldOptions } from '../support/restore/world.ts';
import { SteppedClock } from '../support/stepped-clock.ts';

const HOUR = 3_600_000;
const signal = new AbortController().signal;
const config = { keepPreviousMs: 24 * HOUR, pollIntervalMs: 30_000 };

let world: World;
let clock: SteppedClock;
afterEach(() => world?.remove());

async function started(options: WorldOptions = {}): Promise<void> {
  clock = new SteppedClock();
  world = await World.create({ config, clock, ...options });
  world.start();
  await world.until(() => world.daemon.status().state === 'idle');
}

/** The daemon is started anew on the same folders, its clock set as said. */
async function restarted(wallMs = 0): Promise<void> {
  await world.stop();
  const wall = clock.now().getTime() + wallMs;
  clock = new SteppedClock(wall);
  world = new World(world.root, { config, clock }).start();
  await world.until(() => world.daemon.status().state === 'idle');
}

async function restored(name: string): Promise<void> {
  await world.drop(`${name}.sql`, script(name));
  const { outcome, previous } = await world.report(`${name}.sql`);
  expect(outcome).toBe('restored');
  await world.until(() => world.daemon.status().previous[0]?.id === previous?.id);
  await world.until(() => world.daemon.status().state === 'idle');
  // The daemon looks at what it keeps on every poll.
  await clock.advance(60_000);
}

const submit = () =>
  new RequestClient(world.path('requests'), clock).submit({ kind: 'undo' }, signal);

async function resultOf(id: string): Promise<RequestResult> {
  const client = new RequestClient(world.path('requests'), clock);
  let result: RequestResult | undefined;
  await world.until(async () => {
    result = (await client.status(id))?.result;
    return result !== undefined;
  });
  if (!result) throw new Error('no result');
  return result;
}

const undo = async () => resultOf(await submit());
/** The live file and what is beside it; two names of one file count once. */
async function databases(): Promise<number[]> {
  const folder = join(world.root, 'data');
  const found = (await readdir(folder)).map((name) => statSync(join(folder, name)).ino);
  return [...new Set(found)];
}

test('its time is over after RESTORE_KEEP_PREVIOUS_HOURS, not before; then undo says so', async () => {
  await started();
  await restored('fresh');
  await clock.advance(23 * HOUR);
  expect(await databases()).toHaveLength(2);
  await clock.advance(2 * HOUR);
  await world.until(async () => (await databases()).length === 1);
  expect(await undo()).toMatchObject({ exitCode: 3, error: { code: 'request/no-previous' } });
  expect(await world.liveText()).toBe(script('fresh'));
});

test('setting the clock ahead drops nothing early, in the daemon or at its start', async () => {
  await started();
  await restored('fresh');
  clock.jump(10 * 365 * 24 * HOUR);
  await clock.advance(2 * HOUR);
  expect(await databases()).toHaveLength(2);
  clock.jump(-10 * 365 * 24 * HOUR);
  // A clock that is wrong at the start, and put right by the time service.
  await restarted(365 * 24 * HOUR);
  await clock.advance(5 * 60_000);
  clock.jump(-365 * 24 * HOUR);
  await clock.advance(HOUR);
  expect(await databases()).toHaveLength(2);
  expect(await undo()).toMatchObject({ exitCode: 0 });
});

test('a clock that was ahead, or is set back, keeps nothing for years', async () => {
  await started();
  await restored('fresh');
  clock.jump(-5 * 365 * 24 * HOUR);
  await clock.advance(24.5 * HOUR);
  await world.until(async () => (await databases()).length === 1);
});

test('time goes on while no daemon runs', async () => {
  await started();
  await restored('fresh');
  await restarted(23 * HOUR);
  await clock.advance(HOUR / 2);
  expect(await databases()).toHaveLength(2);
  await restarted(2 * HOUR);
  await clock.advance(HOUR / 2);
  await world.until(async () => (await databases()).length === 1);
});

test('settling is not hurried by a clock that is set', async () => {
  await started({ config: { ...config, pollIntervalMs: 1000, settleMs: 300_000 } });
  await writeFile(join(world.incoming, 'cut.sql'), script('cut').slice(0, 40));
  for (const jump of [HOUR, -48 * HOUR, 24 * 365 * HOUR]) {
    clock.jump(jump);
    await clock.advance(60_000);
  }
  expect(await readdir(world.incoming)).toContain('cut.sql');
  await writeFile(join(world.incoming, 'cut.sql'), script('cut'));
  expect(await world.report('cut.sql')).toMatchObject({ outcome: 'restored' });
});

test('one that was removed by hand: refused before any container is stopped', async () => {
  const touched: string[] = [];
  await started({
    containerFault: (call) => void (call.startsWith('inspect') || touched.push(call)),
  });
  await restored('fresh');
  touched.length = 0;
  await rm(world.daemon.status().previous[0]?.name ?? '');
  expect(await undo()).toMatchObject({
    exitCode: 3,
    report: { outcome: 'refused', error: { code: 'restore/previous-gone' } },
  });
  expect(touched).toEqual([]);
  expect(await world.liveText()).toBe(script('fresh'));
});

test('asked while a restore is in hand, it takes that one back; one database is kept at most', async () => {
  let ask = async () => {};
  let most = 0;
  await started({
    engineFault: async (call) => {
      most = Math.max(most, (await databases()).length);
      if (call === 'stage') await ask();
    },
  });
  await restored('first');
  let id = '';
  ask = async () => {
    id = await submit();
  };
  const report = world.report('second.sql');
  await world.drop('second.sql', script('second'));
  expect((await report).warnings.join()).toMatch(/was dropped to make room/);
  expect(await resultOf(id)).toMatchObject({ exitCode: 0, report: { outcome: 'undone' } });
  expect(await world.liveText()).toBe(script('first'));
  expect(world.daemon.status().previous).toMatchObject([{ replacedBy: 'undo' }]);
  expect(await databases()).toHaveLength(2);
  expect(most).toBe(2);
});

test('asked for twice at once, it is done once', async () => {
  await started();
  await restored('fresh');
  await world.stop();
  const [first, second] = [await submit(), await submit()];
  await restarted(1000);
  const results = [await resultOf(first), await resultOf(second)];
  expect(results.map(({ exitCode }) => exitCode).sort()).toEqual([0, 3]);
  expect(results.find(({ exitCode }) => exitCode === 3)?.error?.code).toBe(
    'request/already-undone',
  );
  expect(await world.liveText()).toBe(script('old'));
  await clock.advance(1000);
  expect(await undo()).toMatchObject({ exitCode: 0 });
  expect(await world.liveText()).toBe(script('fresh'));
});

test('a drop that arrives while an undo waits comes after it', async () => {
  let isDown = false;
  await started({
    engineFault: (call) => {
      if (call === 'probe' && isDown) throw new Error('connection refused');
    },
  });
  await restored('first');
  isDown = true;
  const id = await submit();
  await world.until(() => world.daemon.status().queued === 1);
  await world.drop('second.sql', script('second'));
  await world.until(() => world.daemon.status().queued === 2);
  isDown = false;
  expect(await resultOf(id)).toMatchObject({ exitCode: 0, report: { outcome: 'undone' } });
  await world.report('second.sql');
  expect(await world.liveText()).toBe(script('second'));
});

/** Of the checkpoints; 1 tries them all. */
const EVERY = Number(process.env['DROPBACK_TEST_EVERY'] || 6);
const child = new URL('../support/restore/undo-child.ts', import.meta.url).pathname;

/** Runs a daemon with an undo to do; it kills itself at its n-th checkpoint, or ends (0). */
function lifeOf(root: string, nth: number): Promise<string> {
  const args = ['--disable-warning=ExperimentalWarning', child, root, String(nth)];
  const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  running.stdout.on('data', (chunk) => {
    said += String(chunk);
  });
  return new Promise((resolve) => running.once('close', () => resolve(said.trim())));
}

/** False when it ran through. */
async function killedAt(nth: number): Promise<boolean> {
  const one = await World.create();
  try {
    await lifeOf(one.root, -1);
    expect(await one.liveText()).toBe(script('fresh'));
    const client = new RequestClient(one.path('requests'), systemClock);
    const id = await client.submit({ kind: 'undo' }, signal);
    const said = await lifeOf(one.root, nth);
    const wasKilled = !said.startsWith('ended');
    expect([script('old'), script('fresh')]).toContain(await one.liveText());
    if (wasKilled) expect(await lifeOf(one.root, 0)).toContain('ended');
    const { exitCode } = (await client.status(id))?.result ?? {};
    // Begun: it is carried out. Taken, but not in the journal yet: nothing happened, ask again.
    expect({ nth, said, exitCode }).toMatchObject({ exitCode: expect.toBeOneOf([0, 75]) });
    expect(await one.liveText()).toBe(script(exitCode === 0 ? 'old' : 'fresh'));
    expect(await readdir(join(one.root, 'data'))).toHaveLength(2);
    expect(await readdir(one.path('previous'))).toHaveLength(1);
    expect([one.runtime.get('web'), one.runtime.get('worker')]).toEqual(['running', 'running']);
    expect(await readdir(one.path())).not.toContain('stopped.json');
    return wasKilled;
  } finally {
    await one.remove();
  }
}

test('killed at any checkpoint of an undo, the next start carries it out', {
  timeout: 300_000,
}, async () => {
  let killed = 0;
  for (let nth = 1; ; nth += 4 * EVERY) {
    const batch = await Promise.all([0, 1, 2, 3].map((at) => killedAt(nth + at * EVERY)));
    killed += batch.filter(Boolean).length;
    if (batch.includes(false)) break;
  }
  expect(killed * EVERY).toBeGreaterThanOrEqual(30);
});
