import { readFile, writeFile } from 'node:fs/promises';
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

/**
 * Of one database, by clients that are hard to come by now: pg_dump 14.10 of a server 14, 16.4 of a
 * server 16, 17.12 (Debian 13) of a server 15 into which the first of them had been loaded. Each
 * meets the server that is further from it.
 */
const OF_OTHER_CLIENTS: Readonly<Record<number, readonly string[]>> = {
  15: [
    '14-clean.sql',
    '16-inserts.sql',
    '17-create-clean.sql',
    '17-custom.dump',
    '17-directory.tar',
  ],
  18: ['14-inserts.sql', '14-create.sql', '17-inserts.sql'],
};
const dumps = new URL('../support/dumps/', import.meta.url).pathname;
/** What that server said to this. */
const CHECKSUM = '8f82dcd9a76e754596d41922256ac651';
const CHECKSUM_OF_ROWS = `SELECT md5(
  (SELECT string_agg(c::text, '|' ORDER BY id) FROM public.customer c) ||
  (SELECT string_agg(o::text, '|' ORDER BY id) FROM public.orders o) ||
  (SELECT string_agg(e::text, '|' ORDER BY id) FROM public.event e) ||
  (SELECT string_agg(t::text, '|' ORDER BY id) FROM public.totals t))`;

/** As the same client writes it from 14.19 on; that of 17 has its own pair. */
function restricted(text: string): string {
  const begin = '--\n-- PostgreSQL database dump\n--\n\n';
  expect(text.startsWith(begin)).toBe(true);
  return `${begin}\\restrict k3y\n\n${text.slice(begin.length)}\\unrestrict k3y\n\n`;
}

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

  test('those of clients 14, 16 and 17 restore: --inserts, --create, --clean, restricted ones, archives', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    await using daemon = await stack.restoreDaemon();
    for (const one of OF_OTHER_CLIENTS[server.major] ?? []) {
      const name = `pg_dump-${one}`;
      const path = join(bed.folder, name);
      const content = await readFile(join(dumps, name));
      await writeFile(path, one === '14-clean.sql' ? restricted(content.toString()) : content);
      await stack.restored(daemon, path);
      const ask = ['-XqAt', '-c', "SET timezone = 'UTC'", '-c', CHECKSUM_OF_ROWS];
      expect((await bed.tool('psql', ask)).trim(), name).toBe(CHECKSUM);
      await bed.sql("UPDATE customer SET name = 'changed since'");
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
