import { expect, test } from 'vitest';
import { PostgresSite } from '../../support/crash/postgres-site.ts';
import { endAtEveryPoint, seedOfThisRun } from '../../support/crash/sweep.ts';
import { CrashWorld } from '../../support/crash/world.ts';
import { testbed } from '../../support/testbed.ts';

test.skipIf(!testbed.postgres18)(
  'PostgreSQL 18: killed at any step, and again at any time, the next daemon brings all in order',
  { timeout: 1_200_000 },
  async () => {
    if (!testbed.postgres18) return;
    await using world = await CrashWorld.create(await PostgresSite.create(testbed.postgres18));
    const seed = seedOfThisRun();
    const ended = await endAtEveryPoint(world, { thin: 8, seed, randomly: 25 });
    expect(ended.length).toBeGreaterThan(40);
    // The instants that matter most must have been among them.
    expect(ended).toContain('sent COMMIT');
    expect(ended.filter((name) => name.startsWith('docker: stop')).length).toBeGreaterThan(2);
    expect(ended.filter((name) => name.startsWith('docker: start')).length).toBeGreaterThan(2);
  },
);
