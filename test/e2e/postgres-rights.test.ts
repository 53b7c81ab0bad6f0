import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { ident } from '../integration/postgres-restore-bed.ts';
import { TestContainers } from '../support/containers.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers, testbed } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

/** A live database with one row, and a foreign dump of it with two, as the application's role. */
async function prepare(stack: PostgresStack): Promise<string> {
  const { bed } = stack;
  const path = join(bed.folder, 'app.dump');
  const as = `SET ROLE ${bed.owner}`;
  await bed.sql(
    `${as}; CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1), (2); GRANT SELECT ON t TO ${bed.reader}`,
  );
  await bed.tool('pg_dump', ['-Fc', '-f', path]);
  await bed.sql('DELETE FROM t WHERE i = 2');
  return path;
}

describe.each(servers)('rights on PostgreSQL $major', (server) => {
  test('CREATEDB and CREATEROLE are all that the application role needs', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    await bed.admin.query(`ALTER ROLE ${bed.owner} CREATEDB CREATEROLE`);
    const path = await prepare(stack);
    const DATABASE_URL = stack.url(bed.live, bed.owner);
    const daemon = await stack.restoreDaemon({ DATABASE_URL });
    await stack.restored(daemon, path);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
    const acl = await bed.value("SELECT relacl FROM pg_class WHERE relname = 't'");
    expect(acl).toContain(`${bed.reader}=r/${bed.owner}`);
    const owner = await bed.value("SELECT tableowner FROM pg_tables WHERE tablename = 't'");
    expect(owner).toBe(bed.owner);

    const own = await stack.backup({ DATABASE_URL });
    await bed.sql('DELETE FROM t');
    await stack.restored(daemon, own);
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
    const undo = stack.cli(['undo'], { DATABASE_URL });
    expect(await undo.exited, undo.output).toMatchObject({ code: 0 });
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('0');
    const doctor = stack.cli(['doctor', '--for', 'restore'], { DATABASE_URL });
    expect(await doctor.exited, doctor.output).toMatchObject({ code: 0 });
    const left = await bed.admin.query(
      "SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE $1",
      [`dropback: % ${JSON.stringify(bed.live)}`],
    );
    expect(left).toEqual([]);
  });

  test('without CREATEDB a drop is refused with the GRANTs that are missing, and they suffice', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const path = await prepare(stack);
    const DATABASE_URL = stack.url(bed.live, bed.owner);
    const daemon = await stack.restoreDaemon({ DATABASE_URL });
    const doctor = stack.cli(['doctor', '--for', 'restore'], { DATABASE_URL });
    expect((await doctor.exited).code).not.toBe(0);
    const report = await stack.dropped(daemon, path);
    expect(report).toMatchObject({ folder: 'failed', outcome: 'refused' });
    expect(report.error?.code).toBe('drop/not-possible-here');
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');

    const hint = report.error?.hint ?? '';
    const statements = hint.match(/ALTER ROLE \S+ \w+;/g) ?? [];
    const wanted = ['CREATEDB', 'CREATEROLE'].map(
      (right) => `ALTER ROLE ${ident(bed.owner)} ${right};`,
    );
    expect(statements).toEqual(wanted);
    for (const statement of statements) {
      expect(doctor.output).toContain(statement);
      await bed.admin.query(statement);
    }
    await stack.restored(daemon, path, 'again.dump');
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('2');
    expect(daemon.output).not.toContain(':pw@');
  });

  test.skipIf(!testbed.docker)(
    'an extension that the server lacks is refused before anything is stopped',
    async () => {
      await using stack = await PostgresStack.create(server);
      await using containers = new TestContainers();
      const { bed } = stack;
      const app = await containers.create('app');
      const path = join(bed.folder, 'extension.sql');
      await writeFile(
        path,
        '--\n-- PostgreSQL database dump\n--\n\nCREATE EXTENSION IF NOT EXISTS made_up WITH SCHEMA public;\nCREATE TABLE public.t (i integer);\n\n--\n-- PostgreSQL database dump complete\n--\n',
      );
      const since = (await containers.docker.getContainer(app).inspect()).State.StartedAt;
      const daemon = await stack.restoreDaemon({
        RESTORE_STOP_CONTAINERS: app,
        DOCKER_HOST: containers.host,
      });
      const report = await stack.dropped(daemon, path);
      expect(report).toMatchObject({
        outcome: 'refused',
        error: { code: 'drop/extension-missing' },
      });
      expect(report.error?.message).toContain('made_up');
      expect(report.stopped ?? []).toEqual([]);
      const { State } = await containers.docker.getContainer(app).inspect();
      expect(State).toMatchObject({ Running: true, StartedAt: since });
      expect(daemon.isRunning).toBe(true);
    },
  );
});
