import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { isRunning, processTree } from '../support/crash/processes.ts';
import { HoldingProxy } from '../support/holding-proxy.ts';
import { expectEqual, sampleDatabase } from '../support/postgres-samples.ts';
import { PostgresStack } from '../support/postgres-stack.ts';
import { TestPrefix } from '../support/s3.ts';
import { s3Environment } from '../support/sqlite-stack.ts';
import { servers, type TestS3, type TestServer, testbed } from '../support/testbed.ts';

const JOBS = { BACKUP_JOBS: '3' };

describe.each(servers)('BACKUP_JOBS on PostgreSQL $major', (server) => {
  test('the rich database comes back whole, as our own backup', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed, bench } = stack;
    const { database } = await sampleDatabase(bed, 'rich');
    const wanted = await bed.picture(database);
    await using daemon = await stack.restoreDaemon();
    const archive = await stack.backup({ DATABASE_URL: stack.url(database), ...JOBS });
    expect(archive).toMatch(/Z\.tar$/);
    const report = await stack.restored(daemon, archive);
    expect(report.backupId).toBeDefined();
    expectEqual(await bed.picture(bed.live), wanted, 'own');
    const [manifest] = await bench.manifests();
    expect(manifest?.archive).toMatchObject({
      format: 'postgres-directory',
      compression: 'none',
    });
    expect(manifest?.warnings).toEqual([]);
  }, 120_000);

  test('a daemon that is killed leaves a folder alone, and the next run removes it', async () => {
    await using stack = await PostgresStack.create(server);
    const { bed, bench } = stack;
    await bed.sql(`CREATE TABLE large AS
      SELECT i, (SELECT string_agg(md5(i::text || j::text), '') FROM generate_series(1, 32) j)
        FROM generate_series(1, 30000) i`);
    const folders = async () =>
      (await bench.files('backups', 'app')).filter((file) => file.endsWith('.tar.partial.d'));
    {
      // In the middle of its rows: a worker that nobody ended would wait for the others for ever.
      await using proxy = await HoldingProxy.start(server);
      proxy.holdAfter(5_000_000);
      const DATABASE_URL = stack.url().replace(`:${server.port}/`, `:${proxy.port}/`);
      const daemon = stack.backupDaemon(['--once'], { ...JOBS, DATABASE_URL });
      await proxy.held;
      const tree = processTree(daemon.pid).map(({ pid }) => pid);
      expect(tree.length).toBeGreaterThan(2);
      daemon.kill('SIGKILL');
      await daemon.exited;
      await expect.poll(() => tree.filter(isRunning), { timeout: 60_000 }).toEqual([]);
    }
    expect(await folders()).toHaveLength(1);

    await stack.backup(JOBS);
    const [manifest] = await bench.manifests();
    const { id = '', archive } = manifest ?? {};
    expect(await bench.files('backups', 'app')).toEqual(
      [`${id}.json`, `${id}.state.json`, archive?.file].sort(),
    );
    expect(JSON.parse(await readFile(bench.path('backups', 'app', `${id}.json`), 'utf8'))).toEqual(
      expect.objectContaining({ tables: [{ schema: 'public', name: 'large', rows: 30_000 }] }),
    );
  }, 120_000);
});

const { postgres15, postgres18 } = testbed;

describe.skipIf(!postgres15 || !postgres18)('BACKUP_JOBS between versions', () => {
  test.each([
    [15, 18],
    [18, 15],
  ] as const)(
    'a backup of %i restores into %i',
    async (from, to) => {
      const serverOf = (major: number) => (major === 15 ? postgres15 : postgres18) as TestServer;
      await using source = await PostgresStack.create(serverOf(from));
      await using target = await PostgresStack.create(serverOf(to));
      const { owner, app, reader, live } = source.bed;
      for (const role of [owner, app, reader]) await target.bed.role(role);
      await source.bed.fill(live);
      // Into the target's own folder: there its manifest is found, and the rows are compared.
      const archive = await target.backup({ DATABASE_URL: source.url(live), ...JOBS });
      await using daemon = await target.restoreDaemon();
      const report = await target.restored(daemon, archive);
      expect(report.backupId).toBeDefined();
      const [wanted, found] = [
        await source.bed.picture(live),
        await target.bed.picture(target.bed.live),
      ];
      expect(found.data).toEqual(wanted.data);
    },
    120_000,
  );
});

const [anyServer] = servers;

describe.skipIf(!anyServer || !testbed.s3)('BACKUP_JOBS and S3', () => {
  test('parts go up while it is dumped; of a dump that is made anew, the second arrives', async () => {
    await using prefix = new TestPrefix();
    await using stack = await PostgresStack.create(anyServer as TestServer);
    await stack.bed.sql(`CREATE TABLE large AS
      SELECT i, (SELECT string_agg(md5(i::text || j::text), '') FROM generate_series(1, 32) j)
        FROM generate_series(1, 20000) i`);
    // Told by pg_dump with several jobs alone; taken for an error when the other table is done.
    await stack.bed.sql('CREATE TABLE public."x\npg_dump: error: y" (a int)');
    const remote = s3Environment(testbed.s3 as TestS3, prefix.prefix);
    await stack.backup({ ...JOBS, ...remote });
    const [manifest] = await stack.bench.manifests();
    expect(manifest?.archive.bytes).toBeGreaterThan(8 * 1024 * 1024);
    expect(await prefix.files()).toEqual([`${manifest?.id}.json`, `${manifest?.id}.tar`]);
    const list = stack.cli(['list'], remote);
    expect((await list.exited).code).toBe(0);
    expect(list.output).toContain('local + s3');
    const verify = stack.cli(['verify', '--all'], remote);
    expect((await verify.exited).code, verify.output).toBe(0);
  }, 120_000);
});
