import { stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { docker, findEngine, repository } from './engine.ts';
import { Stack, until, user } from './stack.ts';

const engine = await findEngine();

/** The demo application's user in its image. */
const APPLICATION = '10001:10001';

describe.skipIf(!engine)(
  'the development stack, with SQLite in WAL mode and an application of another user',
  () => {
    let stack: Stack;

    beforeAll(async () => {
      stack = await Stack.create({
        files: ['docker/compose.dev.yml'],
        source: repository,
        settings: { BACKUP_INTERVAL_SECONDS: '600' },
      });
      await stack.compose(['up', '--build', '-d']);
      await until('the application', async () => (await stack.fetch()).status === 200, 400);
    }, 900_000);

    afterAll(async () => {
      await stack?.[Symbol.asyncDispose]();
    }, 120_000);

    const owner = async () =>
      (await stack.exec('web', ['stat', '-c', '%u:%g %a', '/data/app.db'])).stdout.trim();
    const journalMode = async () => {
      const script =
        "console.log(new (require('/app/node_modules/better-sqlite3'))('/data/app.db').pragma('journal_mode', { simple: true }))";
      return (await stack.exec('web', ['node', '-e', script])).stdout.trim();
    };

    test('records destroyed, the backup dropped, the records are back; owner and journal mode are kept', async () => {
      await until('a first backup', async () => (await stack.backups()).length > 0, 90);
      await stack.addRecords('kept', 5000);
      const archive = await stack.backUp();
      const { uid } = await stat(archive);
      expect(uid).toBe(user.uid);
      await stack.removeRecords();
      const [ownerBefore, before] = [await owner(), await stack.startTimes()];
      expect(ownerBefore).toContain(APPLICATION);
      expect(await journalMode()).toBe('wal');
      await stack.drop(archive);
      const done = async () => Object.values(await stack.reports('done')).at(0);
      const report = await until('the restore', done, 90);
      expect(report.outcome).toBe('restored');
      await until('the records', async () => (await stack.countRecords()) === 5000);
      expect(await owner()).toBe(ownerBefore);
      expect(await journalMode()).toBe('wal');
      // The application can still write.
      await stack.addRecords('after', 1);
      expect(await stack.countRecords()).toBe(5001);
      const after = await stack.startTimes();
      const changed = Object.keys(before).filter((name) => before[name] !== after[name]);
      expect(changed).toEqual([`/${stack.name('web')}`]);
    }, 240_000);

    test('backups go on while the application writes', async () => {
      const writing = (async () => {
        for (let i = 0; i < 50; i++) await stack.addRecords(`while ${i}`, 20);
      })();
      await stack.exec('db-backup', ['dropback', 'backup']);
      await writing;
      expect(await stack.countRecords()).toBe(6001);
      const { stdout } = await docker(['logs', stack.name('web')]);
      expect(stdout).not.toMatch(/readonly database/);
    }, 120_000);
  },
);
