import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

/** A dump of an application's database as somebody else's server had it. */
async function dumpFromElsewhere(stack: PostgresStack, name: string, sql: string): Promise<string> {
  const { bed } = stack;
  const database = `test_source_${bed.id}`;
  await bed.database(database, 'OWNER postgres');
  await bed.sql(sql, database);
  const path = join(bed.folder, name);
  await bed.tool('pg_dump', [name.endsWith('.sql') ? '-Fp' : '-Fc', '-f', path], database);
  await bed.admin.query(`DROP DATABASE ${database}`);
  return path;
}

describe.each(servers)('a dump from elsewhere, PostgreSQL $major', (server) => {
  test.each(['all.sql', 'all.dump'])(
    '%s of a superuser, restored by a role that is none',
    async (file) => {
      await using stack = await PostgresStack.create(server);
      const { bed } = stack;
      await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB CREATEROLE`);
      const path = await dumpFromElsewhere(
        stack,
        file,
        `CREATE EXTENSION pg_trgm; CREATE SCHEMA tools; CREATE EXTENSION "uuid-ossp" SCHEMA tools;
       CREATE TABLE t (i int PRIMARY KEY, word text); INSERT INTO t VALUES (1, 'one'), (2, 'two');
       CREATE INDEX ON t USING gin (word gin_trgm_ops);
       CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN 1; END';
       GRANT SELECT ON t TO ${bed.reader}`,
      );
      const DATABASE_URL = stack.url(bed.live, bed.owner);
      const daemon = await stack.restoreDaemon({ DATABASE_URL });
      const report = await stack.restored(daemon, path);
      expect(report.warnings.join('\n')).toContain('the role postgres, which would own it');
      expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
      const owners = await bed.value(
        `SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ',') 
         FROM pg_class WHERE relname IN ('t', 't_pkey', 't_word_idx')`,
      );
      expect(owners).toBe(bed.owner);
      expect(await bed.value("SELECT relacl FROM pg_class WHERE relname = 't'")).toContain(
        `${bed.reader}=r/`,
      );
      expect(
        await bed.value("SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension"),
      ).toBe('pg_trgm,plpgsql,uuid-ossp');
    },
  );

  test('RESTORE_ADMIN_URL acts, and what it makes belongs to the application', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const path = await dumpFromElsewhere(
      stack,
      'all.dump',
      'CREATE TABLE t (i int); INSERT INTO t VALUES (1)',
    );
    const urls = {
      DATABASE_URL: stack.url(bed.live, bed.owner),
      RESTORE_ADMIN_URL: stack.url('postgres'),
    };
    const daemon = await stack.restoreDaemon(urls);
    await stack.restored(daemon, path);
    await using application = await bed.open(bed.live, bed.owner);
    await application.query('ALTER TABLE public.t ADD COLUMN j integer');
    expect(await application.query('SELECT i FROM public.t')).toEqual([{ i: 1 }]);
    expect(daemon.output).not.toContain(bed.server.password);
  });

  test('text that the live encoding cannot hold is refused, and nothing changes', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    await bed.database(
      bed.live,
      `OWNER ${bed.owner} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`,
    );
    await bed.sql('CREATE TABLE t (i text)');
    const path = await dumpFromElsewhere(
      stack,
      'all.sql',
      `CREATE TABLE t (i text); INSERT INTO t VALUES ('é'), ('中')`,
    );
    const daemon = await stack.restoreDaemon();
    const report = await stack.dropped(daemon, path);
    expect(report).toMatchObject({ outcome: 'refused', error: { code: 'drop/does-not-load' } });
    expect(report.error?.message).toContain('has no equivalent in encoding "LATIN1"');
    expect(report.steps.map(({ name }) => name)).not.toContain('stop');
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('0');
  });
});
