import { describe, expect, test } from 'vitest';
import type { Target } from '../../support/crash/points.ts';
import { PostgresSite } from '../../support/crash/postgres-site.ts';
import type { CrashSite } from '../../support/crash/site.ts';
import { SqliteSite } from '../../support/crash/sqlite-site.ts';
import { endAtEveryPoint, seedOfThisRun } from '../../support/crash/sweep.ts';
import { WALKS } from '../../support/crash/walks.ts';
import { CrashWorld } from '../../support/crash/world.ts';
import { testbed } from '../../support/testbed.ts';

interface Case {
  readonly make: () => Promise<CrashSite>;
  readonly walk: keyof typeof WALKS;
  /** The instant that matters most: done, and nobody has heard of it. */
  readonly swap?: Target;
}

const [postgres15, postgres18] = [testbed.postgres15, testbed.postgres18];
const seed = seedOfThisRun();

/** At some points, by the seed; `npm run soak -- --every --walk …` takes all of them. */
async function killedOn({ make, walk, swap }: Case, nth: number): Promise<void> {
  await using world = await CrashWorld.create(await make(), { walk: WALKS[walk] });
  const ended = await endAtEveryPoint([world], { thin: 12, nth, seed });
  expect(ended.length).toBeGreaterThan(0);
  if (swap === undefined) return;
  const { killedAt } = await world.round({ point: swap });
  expect(killedAt).toBe(typeof swap === 'number' ? undefined : swap.name);
}

// Each waits for its daemons most of the time.
describe.concurrent('killed at any step, the next daemon brings all in order', () => {
  const timeout = 900_000;

  test.skipIf(!postgres18)('PostgreSQL 18, in place', { timeout }, async () => {
    if (!postgres18) return;
    const make = () => PostgresSite.create(postgres18, { inPlace: true });
    const swap = { name: 'sent COMMIT;', after: 'dropback_expected' };
    await killedOn({ make, walk: 'restore', swap }, 20);
  });

  test.skipIf(!postgres15)('PostgreSQL 15, undo', { timeout }, async () => {
    if (!postgres15) return;
    const swap = { name: 'sent COMMIT', after: 'RENAME' };
    await killedOn({ make: () => PostgresSite.create(postgres15), walk: 'undo', swap }, 8);
  });

  test('SQLite, undo', { timeout }, async () => {
    const name = 'replace: rename .app.db.dropback_p_… → app.db';
    const swap = { name, after: 'replace: link' };
    await killedOn({ make: () => SqliteSite.create('wal'), walk: 'undo', swap }, 8);
  });

  // One of the others in each run.
  const sqlite = (['delete', 'wal'] as const).map((mode) => () => SqliteSite.create(mode));
  const others = (['stop-first', 'from-nothing', 'into', 'check'] as const).flatMap((walk) => [
    ...sqlite.map((make) => ({ make, walk })),
    ...(postgres18 ? [{ make: () => PostgresSite.create(postgres18), walk }] : []),
  ]);
  test('another walk, by the seed', { timeout }, async () => {
    const chosen = others[seed % others.length] as Case;
    await killedOn(chosen, 16);
  });
});
