import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { stubbornly, TestContainers } from '../support/containers.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { servers, testbed } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

/** A live database with three rows, and a dump of it when it had one. */
async function prepare(stack: PostgresStack): Promise<string> {
  const { bed } = stack;
  await bed.sql(
    `CREATE TABLE t (i int) PARTITION BY LIST (i);
     CREATE TABLE t_rest PARTITION OF t DEFAULT;
     INSERT INTO t VALUES (1)`,
  );
  const path = join(bed.folder, 'one.dump');
  await bed.tool('pg_dump', ['-Fc', '-f', path]);
  await bed.sql('INSERT INTO t VALUES (2), (3)');
  return path;
}

describe.each(servers)('one lock, PostgreSQL $major', (server) => {
  test('a restore that meets a backup loads, and waits for it before it stops anything', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed } = stack;
    const path = await prepare(stack);
    const daemon = await stack.restoreDaemon();

    // pg_dump reads that; nothing else that runs here looks at it.
    const blocker = await bed.open();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE pg_catalog.pg_policy IN ACCESS EXCLUSIVE MODE');
    const backup = stack.backupDaemon(['--once']);
    await backup.until('pg_dump waiting for the table', async () => {
      const rows = await bed.admin.query(
        `SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'`,
        [bed.live],
      );
      return rows.length > 0 || undefined;
    });
    await stack.bench.drop(path);
    await daemon.says(/waiting for dropback backup lock/);
    expect(backup.isRunning).toBe(true);
    expect(await stack.bench.report('one.dump')).toBeUndefined();
    await blocker[Symbol.asyncDispose]();

    expect(await backup.exited, backup.output).toMatchObject({ code: 0 });
    const report = await stack.filed(daemon, 'one.dump');
    expect(report).toMatchObject({ outcome: 'restored', rows: 1 });
    expect(await bed.value('SELECT count(*) FROM public.t')).toBe('1');
    const manifests = await stack.bench.manifests();
    expect(manifests.map(({ tables }) => tables)).toEqual([
      [{ schema: 'public', name: 't_rest', rows: 3 }],
    ]);
  });

  test.skipIf(!testbed.docker)(
    'a backup that meets a restore is postponed until the new database is live',
    async () => {
      await using stack = await PostgresStack.create(server);
      await using containers = new TestContainers();
      const path = await prepare(stack);
      const app = await containers.create('app', { script: stubbornly });
      const daemon = await stack.restoreDaemon({
        RESTORE_STOP_CONTAINERS: app,
        RESTORE_STOP_TIMEOUT: '120',
        DOCKER_HOST: containers.host,
      });
      await stack.bench.drop(path);
      await daemon.says(/"stopping the application's containers/);

      const backup = stack.backupDaemon(['--once']);
      await backup.says(/postponed: dropback restore lock/);
      expect(await stack.bench.manifests()).toEqual([]);
      expect(daemon.isRunning).toBe(true);
      // It ignores SIGTERM; now it ends.
      await containers.docker.getContainer(app).kill();

      const report = await stack.filed(daemon, 'one.dump');
      expect(report).toMatchObject({ outcome: 'restored', stopped: [app] });
      expect(await backup.exited, backup.output).toMatchObject({ code: 0 });
      const manifests = await stack.bench.manifests();
      expect(manifests.map(({ tables }) => tables)).toEqual([
        [{ schema: 'public', name: 't_rest', rows: 1 }],
      ]);
      const { State } = await containers.docker.getContainer(app).inspect();
      expect(State.Running).toBe(true);
    },
  );
});
