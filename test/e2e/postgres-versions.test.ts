import { join } from 'node:path';
import { describe, expect, vi } from 'vitest';
import { dropName } from '../support/drop-name.ts';
import {
  expectEqual,
  hasPagila,
  type Sample,
  sampleDatabase,
} from '../support/postgres-samples.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { testWith } from '../support/samples.ts';
import { type TestServer, testbed } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

const { postgres15, postgres18 } = testbed;
const samples: readonly Sample[] = hasPagila ? ['rich', 'pagila'] : ['rich'];
const pairs = [
  { from: postgres15, to: postgres18, sample: 'rich' },
  { from: postgres18, to: postgres15, sample: 'rich' },
  { from: postgres15, to: postgres18, sample: 'pagila' },
  { from: postgres18, to: postgres15, sample: 'pagila' },
] as const;

describe.skipIf(!postgres15 || !postgres18)('between versions', () => {
  for (const { from, to, sample } of pairs) {
    testWith(samples.includes(sample))(
      `${sample}, backed up on ${from?.major}, dropped on ${to?.major}: as a foreign file and as our own`,
      async () => {
        await using source = await PostgresStack.create(from as TestServer);
        await using target = await PostgresStack.create(to as TestServer);
        for (const name of ['owner', 'app', 'reader'] as const)
          await target.bed.role(source.bed[name]);
        const { database } = await sampleDatabase(source.bed, sample);
        const archive = await source.backup({ DATABASE_URL: source.url(database) });
        const wanted = await reference(source, database, target);

        expect(wanted.data).toEqual((await source.bed.picture(database)).data);

        await using foreign = await target.restoreDaemon();
        await target.restored(foreign, archive);
        expectEqual(await target.bed.picture(target.bed.live), wanted, 'foreign');
        await foreign.stop();

        // Where the backups' folder is shared, the checksum says that it is ours.
        const BACKUP_DIR = source.bench.path('backups');
        await using own = await target.restoreDaemon({ BACKUP_DIR });
        const report = await target.restored(own, archive, dropName('own', archive));
        expect(report.backupId).toBeDefined();
        expectEqual(await target.bed.picture(target.bed.live), wanted, 'own');
      },
    );
  }
});

/** What psql makes of a script of the source: its errors are those of a newer version's settings. */
async function reference(source: PostgresStack, database: string, target: PostgresStack) {
  const script = join(source.bed.folder, 'reference.sql');
  await source.bed.tool('pg_dump', ['-f', script], database);
  const name = await target.bed.database(
    `test_reference_${target.bed.id}`,
    `OWNER ${source.bed.owner}`,
  );
  await target.bed.tool('psql', ['-Xq', '-f', script], name);
  return await target.bed.picture(name);
}
