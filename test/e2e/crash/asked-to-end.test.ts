import { expect, test } from 'vitest';
import { PostgresSite } from '../../support/crash/postgres-site.ts';
import { SqliteSite } from '../../support/crash/sqlite-site.ts';
import { endAtEveryPoint, seedOfThisRun } from '../../support/crash/sweep.ts';
import { CrashWorld } from '../../support/crash/world.ts';
import { testbed } from '../../support/testbed.ts';

// What CrashWorld requires right after each end: containers up, nothing staged, exit code 0. The
// next daemon then takes the drop up again.

test('SQLite: SIGTERM at any step finishes the restore or undoes it', {
  timeout: 600_000,
}, async () => {
  await using world = await CrashWorld.create(await SqliteSite.create('wal'), {
    signal: 'SIGTERM',
  });
  const ended = await endAtEveryPoint([world], { thin: 8, nth: 9, seed: seedOfThisRun() });
  expect(ended.length).toBeGreaterThan(2);
});

test.skipIf(!testbed.postgres15)(
  'PostgreSQL 15: SIGTERM at any step finishes the restore or undoes it',
  { timeout: 600_000 },
  async () => {
    if (!testbed.postgres15) return;
    const site = await PostgresSite.create(testbed.postgres15);
    await using world = await CrashWorld.create(site, { signal: 'SIGTERM' });
    const ended = await endAtEveryPoint([world], { thin: 8, nth: 9, seed: seedOfThisRun() });
    expect(ended.length).toBeGreaterThan(2);
  },
);
