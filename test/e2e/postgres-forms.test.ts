import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectEqual, sampleDatabase } from '../support/postgres-samples.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers } from '../support/testbed.ts';

/** What people pass to pg_dump; each brings the same database back. */
const forms: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: 'create.sql', args: ['-C'] },
  { name: 'clean.sql', args: ['-c', '--if-exists'] },
  { name: 'create-clean.sql', args: ['-C', '-c', '--if-exists'] },
  { name: 'inserts.sql', args: ['--inserts'] },
  { name: 'columns.sql', args: ['--column-inserts', '--rows-per-insert=50'] },
  { name: 'quoted.sql', args: ['--quote-all-identifiers', '--disable-triggers'] },
  { name: 'uncompressed.dump', args: ['-Fc', '-Z0'] },
  { name: 'created.dump', args: ['-Fc', '-C', '-c', '--if-exists'] },
];

describe.each(servers)('forms of a dump, PostgreSQL $major', (server) => {
  test('every one restores; what cannot is told how to', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const { database } = await sampleDatabase(bed, 'rich');
    const wanted = await bed.picture(database);
    await using daemon = await stack.restoreDaemon();
    for (const { name, args } of forms) {
      const path = join(bed.folder, name);
      await bed.tool('pg_dump', [...args, '-f', path], database);
      await stack.restored(daemon, path);
      expectEqual(await bed.picture(bed.live), wanted, 'foreign');
    }
    // The one that pg_restore can't load in parallel.
    const tar = join(bed.folder, 'format-t.tar');
    await bed.tool('pg_dump', ['-Ft', '-f', tar], database);
    const report = await stack.dropped(daemon, tar);
    expect(report).toMatchObject({ outcome: 'refused', error: { code: 'drop/tar-format' } });
    const script = join(bed.folder, 'format-t.sql');
    await bed.tool('pg_restore', ['-f', script, tar], database);
    await stack.restored(daemon, script);
    expectEqual(await bed.picture(bed.live), wanted, 'foreign');
  }, 180_000);
});
