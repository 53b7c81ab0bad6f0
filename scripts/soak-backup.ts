// Kills any process of db-backup at any time, for as long as you like, and judges after each:
// `node scripts/with-setup.mjs scripts/soak-backup.ts --rounds 1000 --engine sqlite`. Ends with a
// non-zero code at the first thing that is not as it must be.
import { parseArgs } from 'node:util';
import { postgresSource, sqliteSource } from '../test/support/crash/backup-sources.ts';
import { BackupWorld } from '../test/support/crash/backup-world.ts';
import { randomNumbers } from '../test/support/crash/sweep.ts';
import { testbed } from '../test/support/testbed.ts';

const { postgres15, postgres18 } = testbed;
const SOURCES = {
  postgres15: () => postgres15 && postgresSource(postgres15),
  postgres18: () => postgres18 && postgresSource(postgres18),
  sqlite: () => sqliteSource(),
} as const;
type Engine = keyof typeof SOURCES;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    engine: { type: 'string', multiple: true, default: Object.keys(SOURCES) },
  },
});
const rounds = Number(values.rounds);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const isKnown = values.engine.every((name) => Object.hasOwn(SOURCES, name));
if (!isKnown || !Number.isInteger(rounds) || !Number.isInteger(seed)) {
  console.error(`--engine ${Object.keys(SOURCES).join(' | ')}, --rounds N, --seed N`);
  process.exit(64);
}
const random = randomNumbers(seed);
console.log(`seed ${seed}`);

for (const engine of values.engine as Engine[]) {
  const source = await SOURCES[engine]();
  if (!source) {
    console.log(`${engine}: left out, this machine has none`);
    continue;
  }
  await using world = await BackupWorld.create(source);
  for (let round = 1; round <= rounds; round++) {
    const { killed, outcome } = await world.round(random);
    console.log(`${engine}: ${round} ${killed} was killed: ${outcome}`);
  }
  await world.finish();
  console.log(`${engine}: no violation`);
}
