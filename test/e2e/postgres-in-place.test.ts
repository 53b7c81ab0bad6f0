import { describe, expect, test, vi } from 'vitest';
import { dropName } from '../support/drop-name.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

describe.each(servers)('RESTORE_IN_PLACE on PostgreSQL $major', (server) => {
  test('backup, restore, undo as a role that may create nothing; a killed daemon goes on', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    await using session = await bed.open(bed.live, bed.owner);
    await session.query(
      "CREATE TABLE public.t AS SELECT i, repeat('x', 200) AS x FROM generate_series(1, 50000) i",
    );
    const extra = { DATABASE_URL: stack.url(bed.live, bed.owner), RESTORE_IN_PLACE: 'true' };
    const archive = await stack.backup(extra);
    await session.query('DELETE FROM public.t WHERE i > 100');
    await session[Symbol.asyncDispose]();
    const count = () => bed.value('SELECT count(*) FROM public.t');

    const first = await stack.restoreDaemon(extra);
    const report = await stack.restored(first, archive, dropName('first', archive));
    expect(report.warnings.join()).toContain('grows with the database');
    expect(report.rows).toBe(50_000);
    expect(await count()).toBe('50000');
    const undo = await stack.cli(['undo'], extra).exited;
    expect(undo.code).toBe(0);
    expect(await count()).toBe('100');

    await stack.bench.drop(archive, dropName('second', archive));
    await first.until(
      'the swap',
      () => first.lines.filter((line) => line.includes('"step":"swap"'))[2],
    );
    first.kill('SIGKILL');
    await first.exited;
    const next = await stack.restoreDaemon(extra);
    const second = await stack.filed(next, dropName('second', archive));
    expect(second.outcome, JSON.stringify(second)).toBe('restored');
    expect(await count()).toBe('50000');
    const files = await stack.bench.files('restore', 'previous');
    expect(files).toEqual([`${second.previous?.id}.dump`, `${second.previous?.id}.json`]);
    expect((await stack.cli(['undo'], extra).exited).code).toBe(0);
    expect(await count()).toBe('100');
  });

  test('--globals makes a role that is missing before the restore asks for it', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const control = await bed.role(`test_control_${bed.id}`, 'CREATEROLE');
    await bed.admin.query(`ALTER DATABASE ${bed.live} OWNER TO ${control}`);
    await bed.sql(
      `CREATE TABLE t AS SELECT 1 AS i; ALTER TABLE t OWNER TO ${control};
       GRANT SELECT ON t TO ${bed.reader}; GRANT CREATE ON SCHEMA public TO ${control}`,
    );
    const extra = { DATABASE_URL: stack.url(bed.live, control), RESTORE_IN_PLACE: 'true' };
    await stack.backup(extra);
    await bed.sql(`REVOKE ALL ON t FROM ${bed.reader}; DELETE FROM t`);
    await bed.admin.query(`DROP ROLE ${bed.reader}`);

    await stack.restoreDaemon(extra);
    const without = stack.cli(['restore', 'latest'], extra);
    expect((await without.exited).code, without.output).toBe(3);
    expect(without.output).toContain(bed.reader);
    const restored = stack.cli(['restore', 'latest', '--globals'], extra);
    expect((await restored.exited).code, restored.output).toBe(0);
    expect(await bed.value(`has_table_privilege('${bed.reader}', 'public.t', 'SELECT')`)).toBe(
      'true',
    );
  });
});
