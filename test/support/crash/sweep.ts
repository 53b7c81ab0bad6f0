import { type CrashWorld, RUN_THROUGH } from './world.ts';

export interface SweepOptions {
  /** Of points that are much alike only every so-many-th; each direction takes half of the rest. */
  readonly thin: number;
  /** Of what is left, every so-many-th. Default: all. */
  readonly nth?: number;
  /** Decides which ones; whoever sweeps prints it. */
  readonly seed: number;
  /** The number of the first one: where a sweep that was broken off goes on. Default: 1. */
  readonly from?: number;
  /** Nothing but these points. */
  readonly only?: RegExp;
  /** What else goes wrong in each round, once the first daemon is dead. */
  readonly between?: () => Promise<void>;
  /** So many rounds are killed a second time, at a random time of their second life. */
  readonly randomly?: number;
  readonly onRound?: (line: string) => void;
}

/**
 * Restores in turns, each ended at another point, until every point of the list has had its turn. A
 * list comes from restores that nobody ends: one for each direction, since their files differ.
 * Several worlds share the work: they mostly wait. Returns the points at which one ended; throws
 * what the first bad round says.
 */
export async function endAtEveryPoint(
  worlds: readonly CrashWorld[],
  options: SweepOptions,
): Promise<string[]> {
  const random = randomNumbers(options.seed);
  // The first restore finds no previous database to drop.
  for (const world of worlds) await world.round(RUN_THROUGH);
  const [first] = worlds;
  if (!first) throw new Error('no world to end');
  const since = performance.now();
  const points = [await first.round(RUN_THROUGH), await first.round(RUN_THROUGH)];
  const longest = (performance.now() - since) / 2;
  // Of the second round on: from B to A, from A to B.
  const lists = points.map((round, direction) => choose(round.points, direction, options));
  let again = options.randomly ?? 0;
  const ended: string[] = [];
  const work = async (world: CrashWorld) => {
    for (let round = 0; lists.some((list) => list.length > 0) || again > 0; round++) {
      const point = lists[round % 2]?.shift();
      const atAnyTime = options.randomly ? { afterMs: random() * longest } : RUN_THROUGH;
      const end = point === undefined ? atAnyTime : { point };
      const second = again-- > 0 ? { secondLifeMs: random() * longest } : {};
      const between = options.between ? { between: options.between } : {};
      const { killedAt } = await world.round(end, { ...second, ...between });
      if (killedAt !== undefined) ended.push(killedAt);
      options.onRound?.(`${JSON.stringify({ ...end, ...second })}: ${killedAt ?? 'ran through'}`);
    }
  };
  await Promise.all(worlds.map(work));
  return ended;
}

/** Numbers of the points at which one direction is ended. */
function choose(points: readonly string[], direction: number, options: SweepOptions): number[] {
  const { thin, seed, nth = 1, from = 1, only } = options;
  const all = points.map((_, index) => index + 1).slice(from - 1);
  const numbers = only ? all.filter((at) => only.test(points[at - 1] ?? '')) : all;
  const shift = seed + direction * Math.floor(nth / 2);
  if (thin === 1) return numbers.filter((at) => (at + shift) % nth === 0);
  let alike = seed;
  const some = numbers.filter((at) => !isOneOfMany(points[at - 1] ?? '') || alike++ % thin === 0);
  return some.filter((_, index) => (index + seed) % (2 * nth) === direction);
}

/**
 * Much is done again and again in the same way: the journal is written some twenty times, programs
 * are started that change nothing yet, transactions prepare what is rolled back as one. What lies
 * before most statements lies after the one before, when that was answered.
 */
function isOneOfMany(name: string): boolean {
  return (
    /state\.json|^spawn|^open|GRANT|REVOKE|LIMIT|IS_TEMPLATE|ROLE|BEGIN/.test(name) ||
    (name.startsWith('before ') && !/RENAME|COMMIT$|lock/.test(name))
  );
}

/** Mulberry32: numbers from 0 to 1 that a seed repeats. */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** CRASH_SEED repeats a run; without it every run is another one. */
export function seedOfThisRun(): number {
  const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 1e6));
  console.log(`CRASH_SEED=${seed}`);
  return seed;
}
