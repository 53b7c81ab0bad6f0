// Kills any process of db-backup at any time, for as long as you like, and judges after each:
// `node scripts/with-setup.mjs scripts/soak-backup.ts --rounds 1000 --engine sqlite [--s3]
// [--encrypted]`. Ends with a non-zero code at the first thing that is not as it must be.
import { parseArgs } from 'node:util';
import { silentLogger } from '../src/core/observability/log.ts';
import { systemClock } from '../src/core/runtime/clock.ts';
import { S3Store } from '../src/core/stores/s3/store.ts';
import { newAgeKey } from '../test/support/age.ts';
import { postgresSource, sqliteSource } from '../test/support/crash/backup-sources.ts';
import { BackupWorld, type WorldOptions } from '../test/support/crash/backup-world.ts';
import { randomNumbers } from '../test/support/crash/sweep.ts';
import { TestPrefix } from '../test/support/s3.ts';
import { s3Environment } from '../test/support/sqlite-stack.ts';
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
    s3: { type: 'boolean', default: false },
    encrypted: { type: 'boolean', default: false },
    engine: { type: 'string', multiple: true, default: Object.keys(SOURCES) },
  },
});
const rounds = Number(values.rounds);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const isKnown = values.engine.every((name) => Object.hasOwn(SOURCES, name));
if (!isKnown || !Number.isInteger(rounds) || !Number.isInteger(seed)) {
  const engines = Object.keys(SOURCES).join(' | ');
  console.error(`--engine ${engines}, --rounds N, --seed N, --s3, --encrypted`);
  process.exit(64);
}
const random = randomNumbers(seed);
console.log(`seed ${seed}`);

/** With what is asked for beside the database. */
function optionsOf(prefix: TestPrefix | undefined): WorldOptions {
  const { s3 } = testbed;
  const recipients = values.encrypted ? { BACKUP_AGE_RECIPIENTS: newAgeKey().recipient } : {};
  if (!prefix || !s3) return { environment: recipients, encrypted: values.encrypted };
  const keep = { S3_KEEP_LAST: '3', S3_KEEP_DAILY: '0', S3_KEEP_WEEKLY: '0', S3_KEEP_MONTHLY: '0' };
  const options = { log: silentLogger(), clock: systemClock, readOnly: true };
  return {
    environment: { ...recipients, ...keep, ...s3Environment(s3, prefix.prefix) },
    remote: new S3Store(prefix.config(), 'app', options),
    encrypted: values.encrypted,
  };
}

for (const engine of values.engine as Engine[]) {
  const source = await SOURCES[engine]();
  if (!source) {
    console.log(`${engine}: left out, this machine has none`);
    continue;
  }
  await using prefix = values.s3 ? new TestPrefix() : undefined;
  await using world = await BackupWorld.create(source, optionsOf(prefix));
  for (let round = 1; round <= rounds; round++) {
    const { killed, outcome } = await world.round(random);
    console.log(`${engine}: ${round} ${killed} was killed: ${outcome}`);
  }
  await world.finish();
  console.log(`${engine}: no violation`);
}
