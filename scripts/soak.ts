// Kills restores of real databases for as long as you like: at every point there is (`--every`; every
// fifth of them with `--nth 5`), or in random ways. `node scripts/with-setup.mjs scripts/soak.ts --rounds 1000 --engine sqlite-wal`.
// Ends with a non-zero code at the first round whose end is not as it must be.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { PostgresSite } from '../test/support/crash/postgres-site.ts';
import type { RoundOptions } from '../test/support/crash/round.ts';
import { SqliteSite } from '../test/support/crash/sqlite-site.ts';
import { endAtEveryPoint, randomNumbers } from '../test/support/crash/sweep.ts';
import { WALKS } from '../test/support/crash/walks.ts';
import { CrashWorld, RUN_THROUGH } from '../test/support/crash/world.ts';
import { PrivatePostgres } from '../test/support/private-postgres.ts';
import { testbed } from '../test/support/testbed.ts';

const ENGINES = [
  'postgres15',
  'postgres18',
  'postgres18-in-place',
  'sqlite-wal',
  'sqlite-delete',
] as const;
type Engine = (typeof ENGINES)[number];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    engine: { type: 'string', multiple: true, default: [...ENGINES] },
    walk: { type: 'string', multiple: true, default: ['restore'] },
    every: { type: 'boolean', default: false },
    nth: { type: 'string', default: '1' },
    from: { type: 'string', default: '1' },
    sigterm: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const nth = Number(values.nth);
const from = Number(values.from);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const unknown = [
  ...values.engine.filter((name) => !ENGINES.includes(name as Engine)),
  ...values.walk.filter((name) => !Object.hasOwn(WALKS, name)),
];
if (
  unknown.length > 0 ||
  !Number.isInteger(rounds) ||
  !(nth >= 1 && from >= 1) ||
  !Number.isInteger(seed)
) {
  console.error(`--engine ${ENGINES.join(' | ')}, --walk ${Object.keys(WALKS).join(' | ')}`);
  console.error('--rounds N, --seed N, --every [--nth N] [--from N], --sigterm');
  process.exit(64);
}
const random = randomNumbers(seed);
console.log(`seed ${seed}`);

for (const engine of values.engine as Engine[]) {
  for (const walk of values.walk as (keyof typeof WALKS)[]) await soak(engine, walk);
}

async function soak(engine: Engine, walk: keyof typeof WALKS): Promise<void> {
  await using resources = new AsyncDisposableStack();
  const postgres = engine === 'postgres15' ? await privateServer(resources) : undefined;
  const site = await siteOf(engine, postgres);
  if (!site) {
    console.log(`${engine}: left out, this machine has none`);
    return;
  }
  const signal = values.sigterm ? 'SIGTERM' : 'SIGKILL';
  const world = await CrashWorld.create(site, { signal, walk: WALKS[walk] });
  resources.use(world);
  const onRound = (line: string) => console.log(`${engine}, ${walk}: ${line}`);
  if (values.every) await endAtEveryPoint([world], { thin: 1, nth, from, seed, onRound });
  else await randomly(world, postgres, onRound);
  console.log(`${engine}, ${walk}: no violation`);
}

async function privateServer(
  resources: AsyncDisposableStack,
): Promise<PrivatePostgres | undefined> {
  const like = testbed.postgres15;
  if (!like || !existsSync(join(like.binDir, 'initdb'))) return undefined;
  return resources.use(await PrivatePostgres.create(like));
}

async function siteOf(engine: Engine, postgres: PrivatePostgres | undefined) {
  if (engine === 'sqlite-wal') return SqliteSite.create('wal');
  if (engine === 'sqlite-delete') return SqliteSite.create('delete');
  if (postgres) return PostgresSite.create(postgres.server, { isPrivate: true });
  const server = engine === 'postgres15' ? testbed.postgres15 : testbed.postgres18;
  return server && PostgresSite.create(server, { inPlace: engine === 'postgres18-in-place' });
}

/** At a random point or a random time; every third is killed again, every fifth meets outages too. */
async function randomly(
  world: CrashWorld,
  postgres: PrivatePostgres | undefined,
  onRound: (line: string) => void,
): Promise<void> {
  // The first one finds nothing to undo, and no previous database to drop.
  await world.round(RUN_THROUGH);
  const since = performance.now();
  const { points } = await world.round(RUN_THROUGH);
  const longest = performance.now() - since;
  for (let round = 1; round <= rounds; round++) {
    const point = 1 + Math.floor(random() * points.length);
    const end = random() < 0.5 ? { point } : { afterMs: random() * longest };
    const isOutage = random() < 0.2 && !values.sigterm;
    const options: RoundOptions = {
      ...(random() < 0.33 && !values.sigterm ? { secondLifeMs: random() * longest } : {}),
      ...(isOutage ? { between: () => outage(world, postgres) } : {}),
    };
    const { killedAt } = await world.round(end, options);
    const shown = JSON.stringify({ ...end, ...options, isOutage });
    onRound(`${round} ${shown}: ${killedAt ?? 'ran through'}`);
  }
}

/** Server and Docker go, the next daemon begins without them, and they come back one by one. */
async function outage(world: CrashWorld, postgres: PrivatePostgres | undefined): Promise<void> {
  await postgres?.crash();
  await world.containers.down();
  void world.daemon;
  await sleep(random() * 2000);
  await postgres?.start();
  await sleep(random() * 1000);
  await world.containers.up();
}
