import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { expectEqual, sampleDatabase } from '../support/postgres-samples.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

/** What people pass to pg_dump; each brings the same database back. */
const forms: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: 'clean.sql', args: ['-c', '--if-exists'] },
  { name: 'create-clean.sql', args: ['-C', '-c', '--if-exists'] },
  { name: 'columns.sql', args: ['--column-inserts', '--rows-per-insert=50'] },
  { name: 'quoted.sql', args: ['--quote-all-identifiers', '--disable-triggers'] },
  { name: 'created.dump', args: ['-Fc', '-C', '-c', '--if-exists'] },
];

describe.each(servers)('forms of a dump, PostgreSQL $major', (server) => {
  test('every one restores', async () => {
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
  });

  test("pg_dump's own tar format is refused, with the command that makes a script of it", async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    await bed.sql('CREATE TABLE t (i integer); INSERT INTO t VALUES (1)');
    const tar = join(bed.folder, 'app.tar');
    await bed.tool('pg_dump', ['-Ft', '-f', tar]);
    await bed.sql('DELETE FROM t');
    await using daemon = await stack.restoreDaemon();
    const report = await stack.dropped(daemon, tar);
    expect(report).toMatchObject({ outcome: 'refused', error: { code: 'drop/tar-format' } });
    expect(report.error?.hint).toContain('pg_restore -f app.sql app.tar');

    const script = join(bed.folder, 'app.sql');
    await bed.tool('pg_restore', ['-f', script, tar]);
    await stack.restored(daemon, script);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
  });
});
