/** Clocks of two machines may differ by this much, and a run be late, with nothing being wrong. */
export const CLOCK_TOLERANCE_MS = 5 * 60_000;

/** Whether something is dated later than this clock can know of. */
export function isAhead(at: Date, now: Date): boolean {
  return at.getTime() > now.getTime() + CLOCK_TOLERANCE_MS;
}

/**
 * A time that was noted under a clock that has been set back since is nothing to count from: then it is
 * taken to have been just now.
 */
export function notAhead(at: Date, now: Date): Date {
  return isAhead(at, now) ? now : at;
}

/**
 * The newest of what is sorted oldest first. What is dated ahead of the clock isn't: one run under a
 * clock that was ahead would be the newest for years. Where everything is, it is this clock that is
 * behind, and the last one is the newest.
 */
export function newestOf<T>(
  oldestFirst: readonly T[],
  at: (one: T) => Date,
  now: Date,
): T | undefined {
  return oldestFirst.findLast((one) => !isAhead(at(one), now)) ?? oldestFirst.at(-1);
}

/** The newest manifest by the time of its snapshot. */
export function newestBackup<T extends { readonly createdAt: string }>(
  oldestFirst: readonly T[],
  now: Date,
): T | undefined {
  return newestOf(oldestFirst, ({ createdAt }) => new Date(createdAt), now);
}
