import { expect, test } from 'vitest';
import { PostgresSite } from '../../support/crash/postgres-site.ts';
import { endAtEveryPoint, seedOfThisRun } from '../../support/crash/sweep.ts';
import { CrashWorld } from '../../support/crash/world.ts';
import { testbed } from '../../support/testbed.ts';

test.skipIf(!testbed.postgres18)(
  'PostgreSQL 18: killed at any step, and again at any time, the next daemon brings all in order',
  { timeout: 1_800_000 },
  async () => {
    if (!testbed.postgres18) return;
    const { postgres18 } = testbed;
    await using one = await CrashWorld.create(await PostgresSite.create(postgres18));
    await using other = await CrashWorld.create(await PostgresSite.create(postgres18));
    const seed = seedOfThisRun();
    const ended = await endAtEveryPoint([one, other], { thin: 24, seed, randomly: 25 });
    expect(ended.length).toBeGreaterThan(35);
    // The instant that matters most, for certain: done at the server, and nobody heard of it.
    const commit = { name: 'sent COMMIT', after: 'RENAME' };
    expect((await one.round({ point: commit })).killedAt).toBe(commit.name);
  },
);
