import type { CrashWorld } from './world.ts';

export interface SweepOptions {
  /** Takes every k-th of the points of which there are many alike. 1: every point. */
  readonly thin: number;
  /** Decides which ones; printed by whoever sweeps. */
  readonly seed: number;
  readonly onRound?: (line: string) => void;
}

/**
 * Restores in turns, each killed at another point, until every point of the list has had its turn.
 * A list comes from restores that nobody kills: one for each direction, since their files differ.
 * Throws what the first bad round says.
 */
export async function killAtEveryPoint(world: CrashWorld, options: SweepOptions): Promise<number> {
  const lists: number[][] = [];
  for (const direction of [0, 1]) {
    const { points } = await world.round({ point: Number.MAX_SAFE_INTEGER });
    lists.push(choose(points, direction, options));
  }
  let kills = 0;
  for (let round = 0; lists.some((list) => list.length > 0); round++) {
    const at = lists[round % 2]?.shift() ?? Number.MAX_SAFE_INTEGER;
    const since = performance.now();
    const { killedAt, points } = await world.round({ point: at });
    if (killedAt !== undefined) kills += 1;
    const ms = Math.round(performance.now() - since);
    options.onRound?.(`${at} of ${points.length}: ${killedAt ?? 'ran through'} (${ms} ms)`);
  }
  return kills;
}

/**
 * Numbers of the points at which one direction is killed. All that a dump of either kind passes is
 * shared between the two directions.
 */
function choose(points: readonly string[], direction: number, options: SweepOptions): number[] {
  const { thin, seed } = options;
  let alike = seed;
  return points.flatMap((name, index) => {
    if (thin > 1 && isOneOfMany(name) && alike++ % thin !== 0) return [];
    if (thin > 1 && (index + seed) % 2 !== direction) return [];
    return [index + 1];
  });
}

/**
 * The journal is written some twenty times in the same way, and what happens inside a transaction
 * that is rolled back is one and the same; programs are started without changing anything yet.
 */
function isOneOfMany(name: string): boolean {
  return /^(open|link|rename) \.?state\.json(?!.* → state\.json$)|^spawn|GRANT|REVOKE|CONNECTION LIMIT|IS_TEMPLATE|ROLE|before COMM/.test(
    name,
  );
}
