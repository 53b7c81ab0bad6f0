import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { readDatabase } from '../../src/core/engines/postgres/restore/live.ts';
import { readProfile } from '../../src/core/engines/postgres/restore/profile.ts';
import { ident, never, superuser } from '../integration/postgres-restore-bed.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers, type TestServer } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

/** 63 bytes, with what quoting gets wrong. */
const longName = (id: string) => `test é "quoted" =%' ${id} ${'x'.repeat(63)}`.slice(0, 62);

/** Everything that PostgreSQL keeps around a database rather than in it. */
async function around(stack: PostgresStack, name: string): Promise<unknown> {
  const facts = await readDatabase(stack.bed.admin, name);
  if (!facts) throw new Error(`there is no database ${name}`);
  const profile = await readProfile(stack.bed.admin, facts.oid);
  const { oid: _, sizeBytes: __, row, ...rest } = facts;
  // The grants are in the profile, in an order of its own.
  const own = ['oid', 'datfrozenxid', 'datminmxid', 'datacl'];
  const columns = Object.entries(row).filter(([column]) => !own.includes(column));
  return { ...rest, row: Object.fromEntries(columns), profile };
}

/** A tablespace that needs no folder of its own; gone after the databases in it. */
async function inPlaceTablespace(server: TestServer) {
  const admin = await connect(superuser(server), {
    applicationName: 'test',
    signal: never,
    options: { allow_in_place_tablespaces: 'on' },
  });
  const name = `test_space_${randomBytes(4).toString('hex')}`;
  await admin.query(`CREATE TABLESPACE ${name} LOCATION ''`);
  return {
    name,
    async [Symbol.asyncDispose]() {
      await admin.query(`DROP TABLESPACE ${name}`);
      await admin[Symbol.asyncDispose]();
    },
  };
}

async function small(stack: PostgresStack, name = 'small.sql'): Promise<string> {
  const path = join(stack.bed.folder, name);
  const header = '--\n-- PostgreSQL database dump\n--\n\n';
  const body = 'CREATE TABLE public.t (i integer);\nCOPY public.t (i) FROM stdin;\n1\n2\n3\n\\.\n';
  await writeFile(path, `${header}${body}\n--\n-- PostgreSQL database dump complete\n--\n`);
  return path;
}

describe.each(servers)('around the database, PostgreSQL $major', (server) => {
  test('everything that belongs to the name and not to the data is carried over', async () => {
    await using tablespace = await inPlaceTablespace(server);
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    bed.live = longName(bed.id);
    expect(Buffer.byteLength(bed.live)).toBe(63);
    const provider = server.major >= 17 ? 'builtin' : 'icu';
    const locale =
      provider === 'builtin' ? "BUILTIN_LOCALE 'C.UTF-8'" : "ICU_LOCALE 'de-u-kn-true'";
    await bed.database(
      bed.live,
      `OWNER ${bed.owner} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8' LOCALE_PROVIDER ${provider} ${locale} TABLESPACE ${tablespace.name} CONNECTION LIMIT 37`,
    );
    const live = ident(bed.live);
    for (const statement of [
      `ALTER DATABASE ${live} SET search_path = sales, "od,d ""schema", public`,
      `ALTER DATABASE ${live} SET work_mem = '7MB'`,
      `ALTER DATABASE ${live} SET log_min_duration_statement = 250`,
      `ALTER DATABASE ${live} SET app.tenant = 'it''s "a" \\ tenant'`,
      // Whoever works in there without settings of his own gets nowhere.
      `ALTER DATABASE ${live} SET statement_timeout = '1ms'`,
      `ALTER DATABASE ${live} SET default_transaction_read_only = on`,
      `ALTER ROLE ${bed.app} IN DATABASE ${live} SET statement_timeout = '30s'`,
      `ALTER ROLE ${bed.reader} IN DATABASE ${live} SET default_transaction_read_only = on`,
      `REVOKE ALL ON DATABASE ${live} FROM PUBLIC`,
      `GRANT CONNECT ON DATABASE ${live} TO ${bed.app} WITH GRANT OPTION`,
      `GRANT CREATE, TEMPORARY ON DATABASE ${live} TO ${bed.app}`,
      `SET ROLE ${bed.app}`,
      `GRANT CONNECT ON DATABASE ${live} TO ${bed.reader}`,
      'RESET ROLE',
      `COMMENT ON DATABASE ${live} IS 'the "one"; it''s\nlive'`,
    ]) {
      await bed.admin.query(statement);
    }
    const before = await around(stack, bed.live);
    const daemon = await stack.restoreDaemon();

    const report = await stack.restored(daemon, await small(stack));
    expect(await around(stack, bed.live)).toEqual(before);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('3');

    // Our own backup of it, a hostile name in every place where a name goes.
    await stack.restored(daemon, await stack.backup());
    expect(await around(stack, bed.live)).toEqual(before);

    // And back: what was put aside has kept everything too.
    const undo = stack.cli(['undo']);
    expect(await undo.exited).toMatchObject({ code: 0 });
    expect(await around(stack, bed.live)).toEqual(before);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('3');
    expect(report.previous?.name).toMatch(/^dropback_p_[0-9a-f]{16}$/);
  });

  test('a missing target is created; --into makes a side database and swaps nothing; undo', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const path = await small(stack);
    await bed.admin.query(`DROP DATABASE ${ident(bed.live)}`);
    const daemon = await stack.restoreDaemon();
    const created = await stack.restored(daemon, path, 'first.sql');
    expect(created.previous).toBeUndefined();
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('3');

    const side = `test_side_${bed.id}`;
    await bed.database(side);
    await bed.admin.query(`DROP DATABASE ${side}`);
    await bed.sql('INSERT INTO t VALUES (4)');
    const into = stack.cli(['restore', path, '--into', side]);
    expect(await into.exited, into.output).toMatchObject({ code: 0 });
    expect(await bed.value('SELECT count(*) FROM public.t', side)).toBe('3');
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('4');
    const taken = stack.cli(['restore', path, '--into', side]);
    expect(await taken.exited, taken.output).not.toMatchObject({ code: 0 });
    expect(taken.output).toContain('exists already');

    await stack.restored(daemon, path, 'second.sql');
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('3');
    for (const rows of ['4', '3']) {
      const undo = stack.cli(['undo']);
      expect(await undo.exited, undo.output).toMatchObject({ code: 0 });
      expect(await bed.value('SELECT count(*) FROM public.t')).toBe(rows);
    }
    const previous = stack.cli(['previous', '--json']);
    expect(await previous.exited).toMatchObject({ code: 0 });
    expect(JSON.parse(previous.output)).toHaveLength(1);
  });

  test('roles that the server lacks are stood in for and told; `check` changes nothing', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const gone = await bed.role(`test gone "${bed.id}`);
    const source = await bed.database(`test_source_${bed.id}`);
    await bed.sql(
      `CREATE TABLE kept (i int); CREATE TABLE owned (i int); INSERT INTO kept VALUES (1);
       ALTER TABLE kept OWNER TO ${bed.owner}; ALTER TABLE owned OWNER TO ${ident(gone)};
       GRANT SELECT ON kept TO ${ident(gone)}, ${bed.reader}; ALTER TABLE kept ENABLE ROW LEVEL SECURITY;
       CREATE POLICY p ON kept TO ${ident(gone)}, ${bed.app} USING (true)`,
      source,
    );
    const path = join(bed.folder, 'roles.dump');
    await bed.tool('pg_dump', ['-Fc', '-f', path], source);
    await bed.admin.query(`DROP DATABASE ${source}`);
    await bed.admin.query(`DROP ROLE ${ident(gone)}`);
    const daemon = await stack.restoreDaemon();

    const check = stack.cli(['check', path]);
    expect(await check.exited, check.output).toMatchObject({ code: 0 });
    expect(check.output).toContain('public.kept');
    expect(await bed.value("SELECT to_regclass('public.kept')")).toBeNull();

    const report = await stack.restored(daemon, path, 'roles-2.dump');
    expect(report.warnings.join('\n')).toContain(gone);
    const acl = await bed.value("SELECT relacl FROM pg_class WHERE relname = 'kept'");
    expect(acl).toContain(`${bed.reader}=r/${bed.owner}`);
    expect(await bed.value("SELECT tableowner FROM pg_tables WHERE tablename = 'owned'")).toBe(
      bed.owner,
    );
    expect(await bed.value("SELECT roles FROM pg_policies WHERE policyname = 'p'")).toContain(
      bed.app,
    );
    const left = await bed.admin.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [gone]);
    expect(left).toEqual([]);
  });
});
