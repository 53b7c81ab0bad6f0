import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SqliteStack } from '../support/sqlite-stack.ts';

describe('db-backup by the clock', () => {
  test('BACKUP_CRON means the time zone TZ', async () => {
    await using stack = await SqliteStack.create();
    const daemon = stack.start('db-backup', [], {
      BACKUP_INTERVAL_SECONDS: '',
      BACKUP_CRON: '30 3 * * *',
      BACKUP_ON_START: 'false',
      TZ: 'Asia/Kathmandu',
    });
    expect(await daemon.says(/"next backup"/)).toMatch(/"at":"[\d-]+T21:45:00\.000Z"/);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(await stack.bench.manifests()).toEqual([]);
  });

  test('backups come when they are due, and an interval outlives a restart', async () => {
    await using stack = await SqliteStack.create();
    const daemon = stack.start('db-backup', [], { BACKUP_INTERVAL_SECONDS: '1' });
    await daemon.until('two backups', async () =>
      (await stack.bench.manifests()).length >= 2 ? true : undefined,
    );
    await daemon.stop();
    const before = (await stack.bench.manifests()).length;
    const again = stack.start('db-backup', [], { BACKUP_INTERVAL_SECONDS: '3600' });
    await again.says(/"next backup"/);
    await again.stop();
    expect(await stack.bench.manifests()).toHaveLength(before);
  });

  test('a second SIGTERM changes nothing; wrong arguments exit with 64', async () => {
    await using stack = await SqliteStack.create();
    const daemon = stack.start('db-backup');
    await daemon.says(/"backup listed"/);
    daemon.kill('SIGTERM');
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    const wrong = await stack.run('db-backup', ['--twice']);
    expect(wrong).toMatchObject({ code: 64 });
    expect(wrong.output).toContain('--once');
  });
});

describe('what db-backup keeps', () => {
  const keepOne = {
    BACKUP_KEEP_LAST: '1',
    BACKUP_KEEP_DAILY: '0',
    BACKUP_KEEP_WEEKLY: '0',
    BACKUP_KEEP_MONTHLY: '0',
  };

  test('retention follows a good run alone, and never takes the last good backup', async () => {
    await using stack = await SqliteStack.create();
    for (let i = 0; i < 2; i++) {
      expect(await stack.run('db-backup', ['--once'], keepOne)).toMatchObject({ code: 0 });
    }
    const [last, ...others] = await stack.bench.manifests();
    expect(others).toEqual([]);

    // The file is damaged from now on: runs fail, and what is there stays.
    const db = stack.database;
    execFileSync(
      'sh',
      ['-c', `printf 'not a database, by no means' | dd of="${db}" conv=notrunc`],
      {
        stdio: 'ignore',
      },
    );
    const failed = await stack.run('db-backup', ['--once'], keepOne);
    expect(failed.code).toBe(1);
    expect(failed.output).toMatch(/^error \w+\//m);
    expect((await stack.bench.manifests()).map(({ id }) => id)).toEqual([last?.id]);
    expect(await stack.bench.files('backups', 'app')).not.toContain('partial');
  });

  test.skipIf(process.getuid?.() !== 0)(
    'a full disk is told as one, and lists nothing',
    async () => {
      await using stack = await SqliteStack.create();
      stack.sql('CREATE TABLE big (b BLOB); INSERT INTO big VALUES (randomblob(6000000))');
      const folder = stack.bench.path('backups');
      mkdirSync(folder);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]);
      try {
        const full = await stack.run('db-backup', ['--once'], { PUID: '0', PGID: '0' });
        expect(full.code, full.output).toBe(1);
        expect(full.output).toMatch(/^error disk\/full: .* are needed/m);
        expect(await stack.bench.manifests()).toEqual([]);
        const left = (await stack.bench.files('backups', 'app')).filter((file) =>
          /partial/.test(file),
        );
        expect(left).toEqual([]);
      } finally {
        execFileSync('umount', [folder]);
      }
    },
  );
});
