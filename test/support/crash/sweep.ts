import { type CrashWorld, RUN_THROUGH } from './world.ts';

export interface SweepOptions {
  /** Of points that are much alike only every so-many-th; each direction takes half of the rest. */
  readonly thin: number;
  /** Of what is left, every so-many-th. Default: all. */
  readonly nth?: number;
  /** Decides which ones; whoever sweeps prints it. */
  readonly seed: number;
  /** Nothing but these points. */
  readonly only?: RegExp;
  /** What else goes wrong in each round, once the first daemon is dead. */
  readonly between?: () => Promise<void>;
  /** So many rounds are killed a second time, at a random time of their second life. */
  readonly randomly?: number;
  readonly onRound?: (line: string) => void;
}

/** Every point, in both directions. */
export const EVERYTHING = { thin: 1 } as const;

/**
 * Restores in turns, each ended at another point, until every point of the list has had its turn. A
 * list comes from restores that nobody ends: one for each direction, since their files differ.
 * Returns the points at which one ended. Throws what the first bad round says.
 */
export async function endAtEveryPoint(world: CrashWorld, options: SweepOptions): Promise<string[]> {
  const random = randomNumbers(options.seed);
  const { between } = options;
  const lists: number[][] = [];
  let longest = 0;
  // The first restore finds no previous database to drop.
  await world.round(RUN_THROUGH);
  for (const direction of [0, 1]) {
    const since = performance.now();
    const { points } = await world.round(RUN_THROUGH);
    longest = Math.max(longest, performance.now() - since);
    lists.push(choose(points, direction, options));
  }
  const ended: string[] = [];
  let again = options.randomly ?? 0;
  for (let round = 0; lists.some((list) => list.length > 0) || again > 0; round++) {
    const point = lists[round % 2]?.shift();
    const atAnyTime = options.randomly ? { afterMs: random() * longest } : RUN_THROUGH;
    const end = point === undefined ? atAnyTime : { point };
    const second = again-- > 0 ? { secondLifeMs: random() * longest } : {};
    const since = performance.now();
    const { killedAt, points } = await world.round(end, {
      ...second,
      ...(between ? { between } : {}),
    });
    if (killedAt !== undefined) ended.push(killedAt);
    const what = `${JSON.stringify({ ...end, ...second })} of ${points.length}: ${killedAt ?? 'ran through'}`;
    options.onRound?.(`${what} (${Math.round(performance.now() - since)} ms)`);
  }
  return ended;
}

/** Numbers of the points at which one direction is ended. */
function choose(points: readonly string[], direction: number, options: SweepOptions): number[] {
  const { thin, seed, nth = 1, only } = options;
  const all = points.map((_, index) => index + 1);
  const numbers = only ? all.filter((at) => only.test(points[at - 1] ?? '')) : all;
  if (thin === 1) return numbers.filter((at) => (at + seed) % nth === 0);
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
