import { BackupContestants } from '../contestants.ts';
import type { Lab } from '../lab.ts';
import type { Contestant, Series } from '../series.ts';

const JOBS = [1, 2, 4, 8] as const;
const LEVELS = [1, 2, 3, 6] as const;

/** Which form of a dump, with how many jobs, at which level: what the default rests on. */
export async function shapesGroup(lab: Lab): Promise<Series[]> {
  // Nobody's turn is to pay for filling it.
  await lab.server();
  const who = new BackupContestants(lab);
  const contestants: Contestant[] = LEVELS.map((level) =>
    who.script(
      `shapes/stream-${level}`,
      `-Fc -Z0 | zstd -T0 -${level}`,
      `pg_dump -Fc -Z0 | zstd -q -T0 -${level} --check -c | tee dump.zst | openssl dgst -sha256 >sum; sync dump.zst`,
    ),
  );
  for (const jobs of JOBS) {
    for (const level of jobs === 2 ? LEVELS : ([2] as const)) {
      const script = `pg_dump -Fd -j${jobs} -Z zstd:${level} --no-sync -f d; tar -cf dump.tar -C d . & tar -cC d . | openssl dgst -sha256 >sum; wait; rm -r d; sync dump.tar`;
      contestants.push(
        who.script(`shapes/folder-${jobs}-${level}`, `-Fd -j${jobs} -Z zstd:${level}, tar`, script),
      );
    }
  }
  return await lab.takeTurns(contestants);
}
