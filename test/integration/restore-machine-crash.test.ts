import { spawn } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { script, World } from '../support/restore/world.ts';

const child = new URL('../support/restore/crash-child.ts', import.meta.url).pathname;

/** Runs the daemon until it is done or kills itself at its n-th checkpoint; returns what it said. */
async function runUntil(root: string, nth: number, stopFirst: boolean): Promise<string> {
  const args = ['--disable-warning=ExperimentalWarning', child, root, String(nth), `${stopFirst}`];
  const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  running.stdout.on('data', (chunk) => {
    said += String(chunk);
  });
  await new Promise((resolve) => running.once('close', resolve));
  return said.trim();
}

async function preparedWorld(): Promise<World> {
  const world = await World.create();
  await world.drop('app.sql', script('fresh'));
  return world;
}

/** At every instant the live database is wholly one of the two. */
async function expectWholeDatabase(world: World): Promise<void> {
  expect([script('old'), script('fresh')]).toContain(await world.liveText());
}

async function expectRestored(world: World): Promise<void> {
  const report = await world.report('app.sql', 1000);
  expect(report).toMatchObject({ outcome: 'restored', folder: 'done' });
  expect(await world.liveText()).toBe(script('fresh'));
  expect(await readFile(world.path('done', 'app.sql'), 'utf8')).toBe(script('fresh'));
  expect([world.runtime.get('web'), world.runtime.get('worker')]).toEqual(['running', 'running']);
  expect(await readdir(world.path('work'))).toEqual([]);
  expect(await readdir(world.path('incoming'))).toEqual(['check']);
  expect(await readdir(world.path())).not.toContain('stopped.json');
  expect(await readdir(world.path('done'))).toHaveLength(2);
  // The old database is kept, known, and nothing else is left beside the live one.
  expect(report.previous).toBeDefined();
  expect(await readFile(report.previous?.name ?? '', 'utf8')).toBe(script('old'));
  expect(await readdir(`${world.root}/data`)).toHaveLength(2);
  expect(await readdir(world.path('previous'))).toEqual([`${report.previous?.id}.json`]);
}

/** One life until the n-th checkpoint, one life after it. False: there are fewer checkpoints. */
async function crashAt(nth: number, stopFirst: boolean): Promise<boolean> {
  const world = await preparedWorld();
  const said = await runUntil(world.root, nth, stopFirst);
  try {
    await expectWholeDatabase(world);
    const wasKilled = !said.startsWith('ended');
    if (wasKilled) expect(await runUntil(world.root, 0, stopFirst)).toContain('ended');
    await expectRestored(world);
    return wasKilled;
  } catch (error) {
    throw new Error(`killed at checkpoint ${nth}, ${said}: ${await world.describe()}`, {
      cause: error,
    });
  } finally {
    await rm(world.root, { recursive: true });
  }
}

/** They mostly wait: several at a time. */
const AT_ONCE = 6;

async function crashEverywhere(every: number): Promise<number> {
  let crashes = 0;
  for (let nth = 1; ; nth += AT_ONCE * every) {
    const batch = Array.from({ length: AT_ONCE }, (_, at) => crashAt(nth + at * every, true));
    const killed = (await Promise.all(batch)).filter(Boolean).length;
    crashes += killed;
    if (killed < AT_ONCE) return crashes;
  }
}

test('containers stopped before staging: killed anywhere, the next start brings all in order', async () => {
  expect(await crashEverywhere(5)).toBeGreaterThan(10);
}, 600_000);

test('killed in the same restore three times, it is given up and everything is as before', async () => {
  const world = await preparedWorld();
  for (let life = 0; life < 3; life++) await runUntil(world.root, life === 0 ? 40 : 30, false);
  expect(await runUntil(world.root, 0, false)).toContain('ended');
  const report = await world.report('app.sql', 1000);
  expect(report).toMatchObject({ outcome: 'failed', folder: 'failed', attempts: 3 });
  expect(report.error?.code).toBe('restore/interrupted-too-often');
  expect(await world.liveText()).toBe(script('old'));
  expect(await readdir(`${world.root}/data`)).toEqual(['app.db']);
  expect(world.runtime.get('web')).toBe('running');
  await rm(world.root, { recursive: true });
}, 120_000);
