import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { PostgresSite } from '../../support/crash/postgres-site.ts';
import { CrashWorld } from '../../support/crash/world.ts';
import { type TestServer, testbed } from '../../support/testbed.ts';

const COMMIT_OF_THE_SWAP = { name: 'before COMMIT', after: 'RENAME' };

/**
 * The daemon is killed before the COMMIT of its swap, but the statement is on its way: it comes to
 * the server late, and the end of the connection after it.
 */
async function lateCommits(server: TestServer): Promise<void> {
  await using world = await CrashWorld.create(await PostgresSite.create(server));
  const round = (between: (arrive: () => void) => Promise<void>) => {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const options = { late, between: () => between(resolve) };
    return world.round({ point: COMMIT_OF_THE_SWAP }, options);
  };

  // After recovery has decided that nothing was swapped: the COMMIT must not count any more.
  const decided = await round(async (arrive) => {
    await world.daemon.says(/"taking the file in"/, 120_000);
    arrive();
  });
  expect(decided.killedAt).toBe('before COMMIT');
  expect((await world.lastReport())?.attempts).toBe(2);

  // Before the next daemon asks: it finds the swap done.
  const before = await world.site.live();
  await round(async (arrive) => {
    arrive();
    await expect.poll(() => world.site.live(), { timeout: 60_000 }).not.toBe(before);
  });
  expect((await world.lastReport())?.attempts).toBe(1);

  // While it decides: either answer, but only one.
  for (const afterMs of [250, 500, 750]) {
    await round(async (arrive) => {
      void world.daemon;
      await sleep(afterMs);
      arrive();
    });
  }
}

test.skipIf(!testbed.postgres15)(
  'PostgreSQL 15: a COMMIT of a dead daemon that arrives late changes nothing that was decided',
  { timeout: 300_000 },
  () => lateCommits(testbed.postgres15 as TestServer),
);
