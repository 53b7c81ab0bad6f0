import { expect, test } from 'vitest';
import { SqliteSite } from '../../support/crash/sqlite-site.ts';
import { endAtEveryPoint, seedOfThisRun } from '../../support/crash/sweep.ts';
import { CrashWorld } from '../../support/crash/world.ts';

test.concurrent('WAL mode: killed at any step, and again at any time, the next daemon brings all in order', {
  timeout: 1_800_000,
}, async () => {
  await using one = await CrashWorld.create(await SqliteSite.create('wal'));
  await using other = await CrashWorld.create(await SqliteSite.create('wal'));
  const seed = seedOfThisRun();
  const ended = await endAtEveryPoint([one, other], { thin: 24, seed, randomly: 25 });
  expect(ended.length).toBeGreaterThan(25);
  // The instant that matters most, for certain.
  const rename = { name: 'replace: rename .app.db.dropback_s_… → app.db', after: 'replace: link' };
  expect((await one.round({ point: rename })).killedAt).toBe(rename.name);
});

test.concurrent('delete mode: killed at some steps, and again at any time, the next daemon brings all in order', {
  timeout: 600_000,
}, async () => {
  await using world = await CrashWorld.create(await SqliteSite.create('delete'));
  const seed = seedOfThisRun();
  const ended = await endAtEveryPoint([world], { thin: 8, nth: 9, seed, randomly: 3 });
  expect(ended.length).toBeGreaterThan(2);
});
