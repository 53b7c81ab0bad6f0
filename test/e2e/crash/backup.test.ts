import { describe, expect, test } from 'vitest';
import { postgresSource, sqliteSource } from '../../support/crash/backup-sources.ts';
import { type BackupSource, BackupWorld } from '../../support/crash/backup-world.ts';
import { randomNumbers, seedOfThisRun } from '../../support/crash/sweep.ts';
import { servers, type TestServer } from '../../support/testbed.ts';

const server = servers.at(-1) as TestServer;

/** For each engine; the soak runs thousands. */
const ROUNDS = 25;

/** Any process of db-backup's tree is killed at any time, so often. */
async function killedAtRandom(source: BackupSource, rounds: number): Promise<string[]> {
  const random = randomNumbers(seedOfThisRun());
  await using world = await BackupWorld.create(source);
  const killed: string[] = [];
  for (let round = 0; round < rounds; round++) killed.push((await world.round(random)).killed);
  await world.finish();
  return killed;
}

// Each waits for its daemons most of the time.
describe.concurrent('whatever is killed in a backup, what is listed is whole', () => {
  test.skipIf(!server)('PostgreSQL', { timeout: 900_000 }, async () => {
    expect(await killedAtRandom(await postgresSource(server), ROUNDS)).toHaveLength(ROUNDS);
  });

  test('SQLite', { timeout: 900_000 }, async () => {
    expect(await killedAtRandom(await sqliteSource(), ROUNDS)).toHaveLength(ROUNDS);
  });
});
