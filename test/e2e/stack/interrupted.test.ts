import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dropName } from '../../support/drop-name.ts';
import { buildImage, findEngine } from './engine.ts';
import { heldSettings, heldWorker, holdStart, holdStop, letStart, letStop } from './held-worker.ts';
import { Stack, until } from './stack.ts';

const engine = await findEngine();

describe.skipIf(!engine)('docker compose down in the middle', () => {
  let stack: Stack;

  beforeAll(async () => {
    await buildImage();
    stack = await Stack.create({
      files: ['docker/compose.prod.yml', 'docker/compose.backup.yml', 'docker/worker.yml'],
      profiles: ['postgres'],
      extraFiles: { 'docker/worker.yml': heldWorker },
      settings: { ...heldSettings, BACKUP_ON_START: 'false' },
    });
    await stack.compose(['build', 'web']);
    await up();
    // Enough for a dump and a load to be caught in the middle.
    await stack.sql(
      'INSERT INTO records (title) SELECT md5(i::text) || repeat(md5((i * 7)::text), 8) FROM generate_series(1, 400000) i',
    );
  }, 900_000);

  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]();
  }, 120_000);

  const SERVICES = ['web', 'postgres', 'worker', 'db-backup', 'db-restore'];

  async function up(): Promise<void> {
    await stack.compose(['up', '-d', ...SERVICES]);
    await letStart(stack);
    await until('the table', async () => (await rows()) >= 0, 300);
  }

  const rows = async () => Number(await stack.sql('SELECT count(*) FROM records'));
  /** What is asked while the live database is being renamed. */
  const sql = (text: string) => stack.sql(text, 'postgres');
  const stagings = () =>
    sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dropback\\_s\\_%'");

  /** Until the server goes down. */
  const hold = (database: string, lock: string) => {
    const text = `BEGIN; ${lock}; SELECT pg_sleep(3600)`;
    const psql = ['psql', '-U', 'app', '-d', database, '-Xqc', text];
    void stack.exec('postgres', psql, { check: false });
  };
  const holds = (table: string) =>
    `SELECT count(*) FROM pg_locks WHERE relation = '${table}'::regclass AND granted
        AND mode IN ('ShareLock', 'AccessExclusiveLock')`;

  test('of a backup: nothing half-made is listed, and the next one is made', async () => {
    const listed = await stack.backups();
    // Nothing but pg_dump reads it: the dump has begun, and stays where it is.
    hold('app', 'LOCK TABLE pg_description IN ACCESS EXCLUSIVE MODE');
    await until('the lock', async () => (await sql(holds('pg_description'))) === '1');
    const backup = stack.exec('db-backup', ['dropback', 'backup'], { check: false });
    const waiting = `SELECT count(*) FROM pg_stat_activity
                      WHERE wait_event_type = 'Lock' AND application_name LIKE '%dump%'`;
    await until('a dump', async () => Number(await sql(waiting)) > 0, 120);
    await stack.compose(['down']);
    await backup;
    expect(await stack.backups()).toEqual(listed);
    await up();
    await stack.exec('db-backup', ['dropback', 'backup']);
    expect((await stack.backups()).length).toBe(listed.length + 1);
  }, 400_000);

  /** Each settles when the restore is in the middle of that step, and stays there. */
  const reach = {
    stage: () => until('staging', async () => Number(await stagings()) > 0, 120, 50),
    stop: () => until('web stopped', async () => !(await stack.inspect('web')).running, 120),
    swap: async () => {
      await reach.stop();
      // The renames need what this has; it goes down with the server.
      hold('postgres', 'LOCK TABLE pg_database IN SHARE MODE');
      await until('the lock', async () => (await sql(holds('pg_database'))) === '1');
      await letStop(stack);
      const waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'dropback%'";
      await until('the swap', async () => Number(await sql(waiting)) > 0, 120, 50);
    },
    start: async () => {
      await reach.stop();
      await holdStart(stack);
      await letStop(stack);
      await until(
        'the start',
        async () => (await stack.restoreStatus()).current?.step === 'start',
        120,
        50,
      );
    },
  };

  test.each(['stage', 'stop', 'swap', 'start'] as const)(
    'of a restore, at the step %s: the next start continues or undoes it, and nothing is left over',
    async (name) => {
      // Small from the second on: those are held, and need not be caught.
      if (name !== 'stage') await stack.sql('DELETE FROM records WHERE id > 1000');
      const archive = await stack.backUp();
      const full = await rows();
      await stack.sql('DELETE FROM records WHERE id % 2 = 0');
      const half = await rows();
      expect(half).toBeLessThan(full);
      await holdStop(stack);
      await stack.drop(archive, dropName(name, archive));
      await reach[name]();
      await stack.compose(['down']);
      await up();
      await letStop(stack);
      const ended = async () => {
        const reports = { ...(await stack.reports('done')), ...(await stack.reports('failed')) };
        return reports[`${dropName(name, archive)}.report.json`];
      };
      const report = await until('the end of the restore', ended, 240);
      // After the swap there is no way back.
      if (name === 'start') expect(report.outcome).toBe('restored');
      expect(await rows()).toBe(report.outcome === 'restored' ? full : half);
      await until('no staging database', async () => (await stagings()) === '0', 60);
      for (const service of ['web', 'worker']) {
        await until(`${service}`, async () => (await stack.inspect(service)).running, 60);
      }
    },
    400_000,
  );
});
