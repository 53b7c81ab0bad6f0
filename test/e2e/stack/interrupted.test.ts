import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImage, findEngine } from './engine.ts';
import { Stack, until } from './stack.ts';

const engine = await findEngine();

describe.skipIf(!engine)('docker compose down in the middle', () => {
  let stack: Stack;

  beforeAll(async () => {
    await buildImage();
    stack = await Stack.create({
      files: ['docker/compose.prod.yml', 'docker/compose.backup.yml'],
      profiles: ['postgres'],
      settings: { RESTORE_POLL_INTERVAL: '1' },
    });
    await stack.compose(['up', '--build', '-d']);
    await until('the application', async () => (await stack.fetch()).status === 200, 400);
    await until('a first backup', async () => (await stack.backups()).length > 0, 90);
    // Enough for a dump and a load to be caught in the middle.
    await stack.sql(
      'INSERT INTO records (title) SELECT md5(i::text) || repeat(md5((i * 7)::text), 8) FROM generate_series(1, 400000) i',
    );
  }, 900_000);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
  }, 120_000);

  const stagings = () =>
    stack.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dropback\\_s\\_%'");

  test('of a backup: nothing half-made is listed, and the next one is made', async () => {
    const listed = await stack.backups();
    const backup = stack.exec('db-backup', ['dropback', 'backup'], { check: false });
    const running = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%dump%'";
    await until('a dump', async () => Number(await stack.sql(running)) > 0, 30, 50);
    await stack.compose(['down']);
    await backup;
    expect(await stack.backups()).toEqual(listed);
    await stack.compose(['up', '-d']);
    await until('the application', async () => (await stack.fetch()).status === 200, 300);
    await stack.exec('db-backup', ['dropback', 'backup']);
    expect((await stack.backups()).length).toBe(listed.length + 1);
  }, 240_000);

  test('of a restore: the next start continues or undoes it, and nothing is left over', async () => {
    const full = await stack.countRecords();
    await stack.sql('DELETE FROM records WHERE id % 2 = 0');
    const half = await stack.countRecords();
    await stack.drop(await stack.newestArchive());
    await until('staging', async () => Number(await stagings()) > 0, 60, 50);
    await stack.compose(['down']);
    await stack.compose(['up', '-d']);
    await until('the application', async () => (await stack.fetch()).status === 200, 400);
    const ended = async () => {
      const reports = { ...(await stack.reports('done')), ...(await stack.reports('failed')) };
      return Object.values(reports).at(0);
    };
    const report = await until('the end of the restore', ended, 120);
    expect(await stack.countRecords()).toBe(report.outcome === 'restored' ? full : half);
    await until('no staging database', async () => (await stagings()) === '0', 60);
    expect((await stack.inspect('web')).running).toBe(true);
  }, 300_000);
});
