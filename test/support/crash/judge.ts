import { setTimeout as sleep } from 'node:timers/promises';
import type { RestoreOutcome } from '../../../src/core/requests/report.ts';
import type { Bench } from '../daemon.ts';
import type { CrashContainers } from './containers.ts';
import type { Errand } from './errand.ts';
import type { Content, CrashSite } from './site.ts';

export interface Case {
  readonly world: {
    readonly site: CrashSite;
    readonly bench: Bench;
    readonly containers: CrashContainers;
  };
  readonly errand: Errand;
  readonly wanted: Wanted;
  /** What is away for a while is waited for: only the death of a daemon costs an attempt. */
  readonly mostAttempts: number;
  readonly withinMs: number;
}

/** How everything must be at the end of a round. */
export interface Wanted {
  readonly outcome: RestoreOutcome;
  readonly live: string;
  readonly kept: readonly Content[];
  readonly side: Content | undefined;
}

/** Everything that must hold once a daemon is idle again; throws the first thing that doesn't. */
export async function judge(given: Case): Promise<void> {
  const { world, errand, wanted, mostAttempts, withinMs } = given;
  const { site, bench, containers } = world;
  const report = await errand.report();
  requireEqual(report?.outcome, wanted.outcome, JSON.stringify(report));
  requireEqual(report?.folder, 'done', 'where the report is');
  requireEqual((report?.attempts ?? 0) <= mostAttempts, true, `attempts ≤ ${mostAttempts}`);
  requireEqual(await site.live(), wanted.live, 'what is live');
  requireEqual(await site.kept(bench.path('restore', 'previous')), wanted.kept, 'what is kept');
  requireEqual(report?.previous !== undefined, wanted.kept.length > 0, 'previous in the report');
  requireEqual(await site.sideContent(), wanted.side, 'what is beside it');
  requireEqual(containers.stopped, [], 'containers that are down');
  requireEqual((await errand.filed()).length, errand.filesWanted, 'names in done/');
  // What could not be removed in one go is removed on one of the next polls.
  let left: string[] = [];
  await comesTrue(async () => {
    left = await leftovers(bench, site, wanted.kept.length);
    return left.length === 0;
  }, withinMs);
  requireEqual(left, [], 'what is left over');
}

/** What may lie in the folders of db-restore when it is idle. */
const KNOWN: Readonly<Record<string, RegExp>> = {
  '': /^(incoming|work|done|failed|previous|requests|state\.json(\.1)?|\.db-restore\.lock)$/,
  incoming: /^check$/,
  work: /^$/,
  failed: /^$/,
  previous: /^[0-9a-f]{16}\.(json|dump)$/,
  requests: /^daemon\.json$|^[0-9a-f]{16}\.status\.json$/,
  done: /^(round|undo)-/,
};

async function leftovers(bench: Bench, site: CrashSite, kept: number): Promise<string[]> {
  const found = Object.entries(KNOWN).map(async ([folder, expected]) =>
    (await bench.files('restore', folder)).filter((file) => !expected.test(file)),
  );
  const files = await bench.files('restore', 'previous');
  const records = files.filter((file) => file.endsWith('.json'));
  const many = records.length === kept ? [] : [`${records.length} records of previous databases`];
  return [...(await Promise.all(found)).flat(), ...many, ...(await site.leftovers())];
}

export function requireEqual(found: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a}, expected ${b}`);
}

export async function comesTrue(
  look: () => boolean | Promise<boolean>,
  withinMs: number,
): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if (await look()) return true;
    if (performance.now() > deadline) return false;
    await sleep(30);
  }
}
