import { existsSync, mkdtempSync } from 'node:fs';
import { copyFile, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { describe, expect, test, vi } from 'vitest';
import { decompressionError, writeContent } from '../../src/core/archive/compression.ts';
import { decompressor } from '../../src/core/archive/decompressor.ts';
import { healthOf } from '../../src/restore/serve.ts';
import { failSyncBelow } from '../support/failing-sync.ts';
import { script, World } from '../support/restore/world.ts';
import { canMount, SmallDisk } from '../support/small-disk.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';

vi.setConfig({ testTimeout: 180_000, maxConcurrency: 4 });

/** Where a restore writes, by the names of its checkpoints. */
const moments = [
  'before step claim',
  'before journal intent inspect',
  'before step stage',
  'before write stopped.json',
  'before engine swap',
  'before journal result swap',
  'before journal intent file-away',
  'before write report',
] as const;

/** Whichever way it went: the live database is whole, the application runs, the drop is filed. */
async function expectOrder(world: World, code: string): Promise<void> {
  const report = await world.report('app.sql', 60_000);
  const isRestored = report.outcome === 'restored';
  if (!isRestored) {
    expect(report).toMatchObject({ outcome: 'failed', error: { code } });
  }
  expect(await world.liveText()).toBe(script(isRestored ? 'fresh' : 'old'));
  expect(await readFile(world.path(report.folder, 'app.sql'), 'utf8')).toBe(script('fresh'));
  await expectRunning(world);
  await world.until(() => healthOf(world.daemon.status()).ready, 60_000);
  await world.until(async () => (await readdir(world.path('work'))).length === 0);
  // It stays for a while where it could not be noted that every stop was seen to its end.
  await world.until(() => !existsSync(world.path('stopped.json')), 60_000);
}

async function expectRunning(world: World): Promise<void> {
  await world.until(
    () => ['web', 'worker'].every((name) => world.runtime.get(name) === 'running'),
    60_000,
  );
}

/** A world whose folders are all on the disk; `at` is called once, at that checkpoint. */
async function begin(root: string, moment: string, at: () => void | Promise<void>): Promise<World> {
  let isDone = false;
  const world = await World.create({
    root,
    checkpoint: async (name) => {
      if (isDone || name !== moment) return;
      isDone = true;
      await at();
    },
  });
  return world.start();
}

describe.runIf(canMount).concurrent('a disk that is full', () => {
  test.each(moments)('%s: the application is back, and space lets it end well', async (moment) => {
    using disk = new SmallDisk(4);
    const full = Promise.withResolvers<void>();
    const world = await begin(join(disk.path, 'world'), moment, () => {
      disk.fill();
      full.resolve();
    });
    try {
      await world.drop('app.sql', script('fresh'));
      await full.promise;
      // Whether it is told by a report or waits for space: the site is not down for it.
      const isTold = () => world.daemon.status().problems.length > 0;
      const isFiled = () => existsSync(world.path('failed', 'app.sql.report.json'));
      await world.until(() => isTold() || isFiled(), 60_000);
      await expectRunning(world);
      expect([script('old'), script('fresh')]).toContain(await world.liveText());
      if (isTold()) expect(world.daemon.status().problems[0]?.id).toBe('disk/full');
      disk.free();
      await expectOrder(world, 'disk/full');
    } finally {
      disk.free();
      await world.remove();
    }
  });

  test('content that fills it while it is unpacked is removed, and told', async () => {
    using disk = new SmallDisk(8);
    const world = await World.create({ root: join(disk.path, 'world') });
    try {
      world.start();
      const lines = Array.from({ length: 400_000 }, (_, i) => `INSERT INTO t VALUES(${i});`);
      const text = `${script('fresh').replace('COMMIT;\n', '')}${lines.join('\n')}\nCOMMIT;\n`;
      await world.drop('app.sql.gz', gzipSync(text));
      const report = await world.report('app.sql.gz', 60_000);
      expect(report.error?.code).toMatch(/^(drop\/too-large|disk\/full)$/);
      expect(report.error?.hint).toContain('make room');
      expect(await world.liveText()).toBe(script('old'));
      await world.until(async () => (await readdir(world.path('work'))).length === 0);
      await world.drop('app.sql', script('fresh'));
      expect(await world.report('app.sql')).toMatchObject({ outcome: 'restored' });
    } finally {
      await world.remove();
    }
  });

  test('one that fills up between two blocks of decompressed content is told as that', async () => {
    using disk = new SmallDisk(2);
    const path = join(disk.path, 'packed');
    const text = 'SELECT 1;\n'.repeat(1_000_000);
    const limits = { mostBytes: 1e9, because: 'a test' };
    const { signal } = new AbortController();
    for (const [kind, pack] of [
      ['gzip', gzipSync],
      ['zstd', zstdCompressSync],
    ] as const) {
      await writeFile(path, pack(text));
      await using source = await open(path);
      const target = join(disk.path, kind);
      const unpacking = {
        filters: [await decompressor(kind, { source, signal })],
        input: { stdinFd: source.fd },
        explain: (error: unknown) => decompressionError(error, kind),
      };
      const unpacked = writeContent(unpacking, target, limits, signal);
      await expect(unpacked).rejects.toMatchObject({ code: 'disk/full' });
      await rm(target);
    }
  });

  test('a drop from another volume that does not fit: told, and left where it is', async () => {
    using disk = new SmallDisk(4);
    const world = await World.create({ root: join(disk.path, 'world') });
    using _incoming = new SmallDisk(16, world.incoming);
    try {
      const padding = '-- padding\n'.repeat(600_000);
      const text = script('fresh').replace('COMMIT;', `${padding}COMMIT;`);
      await writeFile(join(world.incoming, 'app.sql'), text);
      world.start();
      const report = await world.report('app.sql', 60_000);
      expect(report).toMatchObject({ outcome: 'failed', error: { code: 'disk/full' } });
      expect(await readFile(join(world.incoming, 'app.sql'), 'utf8')).toBe(text);
      expect(await world.liveText()).toBe(script('old'));
      await world.until(async () => (await readdir(world.path('work'))).length === 0);
      await writeFile(join(world.incoming, 'small.sql'), script('fresh'));
      expect(await world.report('small.sql', 60_000)).toMatchObject({ outcome: 'restored' });
      const reports = await readdir(world.path('failed'));
      expect(reports).toEqual(['app.sql.report.json']);
    } finally {
      await world.stop();
    }
  });
});

describe.runIf(canMount)('the volume of a SQLite database', () => {
  test('full while staging: told, the live file stays alone, and later it fits', async () => {
    await using stack = await SqliteStack.create();
    const live = await readFile(stack.database);
    const big = stack.bench.path('big.db');
    await copyFile(stack.database, big);
    const database = new Database(big);
    database.exec(`CREATE TABLE filler (x); WITH RECURSIVE n(i) AS
      (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO filler SELECT randomblob(1000) FROM n`);
    database.exec('DELETE FROM t WHERE i = 3; PRAGMA journal_mode = DELETE');
    database.close();
    using disk = new SmallDisk(12, stack.bench.path('data'));
    await writeFile(stack.database, live);
    const daemon = await stack.restoreDaemon();
    const filed = async (name: string) => {
      await stack.bench.drop(big, name);
      return daemon.until(`a report on ${name}`, () => stack.bench.report(name));
    };
    disk.fill(2 * 1024 * 1024);
    const report = await filed('one.db');
    expect(report).toMatchObject({ outcome: 'failed', error: { code: 'disk/full' } });
    expect(report.error?.hint).toMatch(/space/);
    disk.free();
    expect(stack.rows()).toBe('1,2,3');
    expect((await stack.bench.files('data')).filter((name) => name.includes('dropback_'))).toEqual(
      [],
    );
    expect(await filed('two.db')).toMatchObject({ outcome: 'restored' });
    expect(stack.rows()).toBe('1,2');
    await daemon.stop();
  });
});

describe.concurrent('a disk that fails to fsync', () => {
  test.each([
    'before step claim',
    'before journal intent inspect',
    'before write stopped.json',
    'before journal result swap',
    'before write report',
  ])('%s: the application is back, and it ends well once the disk does', async (moment) => {
    let failing: Disposable | undefined;
    const failed = Promise.withResolvers<void>();
    const root = mkdtempSync(join(tmpdir(), 'dropback-sync-'));
    const world = await begin(root, moment, async () => {
      failing = await failSyncBelow(root);
      failed.resolve();
    });
    try {
      await world.drop('app.sql', script('fresh'));
      await failed.promise;
      await world.until(() => world.daemon.status().problems.length > 0, 60_000);
      expect(world.daemon.status().problems[0]?.id).toBe('disk/failing');
      await expectRunning(world);
      expect([script('old'), script('fresh')]).toContain(await world.liveText());
      failing?.[Symbol.dispose]();
      await expectOrder(world, 'disk/failing');
    } finally {
      failing?.[Symbol.dispose]();
      await world.remove();
    }
  });
});
