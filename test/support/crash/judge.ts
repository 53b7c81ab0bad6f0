import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from '../daemon.ts';
import type { CrashContainers } from './containers.ts';
import type { Content, CrashSite } from './site.ts';

export interface Case {
  readonly world: {
    readonly site: CrashSite;
    readonly bench: Bench;
    readonly containers: CrashContainers;
  };
  /** Of the drop. */
  readonly name: string;
  readonly wanted: Content;
  /** What is away for a while is waited for: only the death of a daemon costs an attempt. */
  readonly mostAttempts: number;
  readonly withinMs: number;
}

/** Everything that must hold once a daemon is idle again; throws the first thing that doesn't. */
export async function judge({ world, name, wanted, mostAttempts, withinMs }: Case): Promise<void> {
  const { site, bench, containers } = world;
  const report = await bench.report(name);
  requireEqual(report?.outcome, 'restored', JSON.stringify(report));
  requireEqual(report?.folder, 'done', 'where the report is');
  requireEqual((report?.attempts ?? 0) <= mostAttempts, true, `attempts ≤ ${mostAttempts}`);
  requireEqual(await site.live(), wanted, 'what is live');
  const kept = report?.previous ? await site.kept() : ['no previous in the report'];
  requireEqual(kept, [wanted === 'A' ? 'B' : 'A'], 'what is kept');
  requireEqual(containers.stopped, [], 'containers that are down');
  const done = await bench.files('restore', 'done');
  const own = done.filter((file) => file.startsWith(name) || file.includes(`-${name}`));
  requireEqual(own, [name, `${name}.report.json`], 'what is in done/');
  // What could not be removed in one go is removed on one of the next polls.
  let left: string[] = [];
  await comesTrue(async () => {
    left = await leftovers(bench, site);
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
  previous: /^[0-9a-f]{16}\.json$/,
  requests: /^daemon\.json$/,
  done: /^round-/,
};

async function leftovers(bench: Bench, site: CrashSite): Promise<string[]> {
  const found = Object.entries(KNOWN).map(async ([folder, expected]) =>
    (await bench.files('restore', folder)).filter((file) => !expected.test(file)),
  );
  const records = await bench.files('restore', 'previous');
  const many = records.length === 1 ? [] : [`${records.length} records of previous databases`];
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
