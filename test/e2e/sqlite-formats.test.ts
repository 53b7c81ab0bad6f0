import { execFile } from 'node:child_process';
import { copyFileSync, statSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findProgram } from '../../src/core/runtime/process/find-program.ts';
import { Daemon } from '../support/daemon.ts';
import {
  chinook,
  type Mode,
  SqliteSite,
  sqlite3AsUser,
  user,
  Writer,
} from '../support/sqlite-site.ts';

const run = promisify(execFile);
const cases = (['wal', 'delete'] as const).flatMap((mode) =>
  [undefined, ...chinook].map((source) => ({
    mode,
    source,
    what: source ? 'chinook' : 'a rich database',
  })),
);

describe.skipIf(!findProgram('sqlite3'))('SQLite through both daemons', () => {
  test.for(cases)(
    '$what in $mode mode: backed up while it is written to, restored from every format',
    { timeout: 180_000 },
    async ({ mode, source }) => {
      await using site = await SqliteSite.create(mode, source);
      const { bench } = site;
      const before = await site.dump();
      const archive = await backUpWhileWriting(site, before);
      const formats = await inAllFormats(site, archive, source === undefined);
      const want = await sqlite3AsUser(bench.path('content.db'), '.dump');
      await using daemon = new Daemon('db-restore', site.environment);
      for (const { path, name } of [{ path: archive, name: 'own.db.zst' }, ...formats]) {
        await site.sqlite3(
          'DELETE FROM ticks_b; UPDATE ticks_a SET n = -n; CREATE TABLE intruder (x)',
        );
        await bench.drop(path, name);
        const report = await daemon.until(`the report of ${name}`, () => bench.report(name));
        expect(report.error, name).toBeUndefined();
        expect(report.outcome, name).toBe('restored');
        expect((await site.dump()) === want, `the rows of ${name}`).toBe(true);
        await expectAsBefore(site, mode, source === undefined && !name.includes('.sql.'));
      }
      // The application works on: nothing of its own was taken from it.
      await using writer = await Writer.start(site.path);
      expect(await writer.stop()).toMatchObject({ failures: [] });
      expect(site.foreignFiles()).toEqual([]);
    },
  );
});

/** Makes one backup and looks at it with standard tools; returns the archive's path. */
async function backUpWhileWriting(site: SqliteSite, before: string): Promise<string> {
  const { bench } = site;
  await using writer = await Writer.start(site.path);
  await using daemon = new Daemon('db-backup', site.environment, ['--once']);
  expect(await daemon.exited, daemon.output).toEqual({ code: 0, signal: null });
  const { written, failures } = await writer.stop();
  expect(failures).toEqual([]);
  expect(written).toBeGreaterThan(1);
  const [manifest] = await bench.manifests();
  if (!manifest) throw new Error('no backup is listed');
  const archive = bench.archivePath(manifest);
  const content = bench.path('content.db');
  await run('zstd', ['-qd', archive, '-o', content]);
  await run('chmod', ['a+r', content]);
  const rows = (table: string) => sqlite3AsUser(content, `SELECT count(*) FROM ${table}`);
  const pairs = Number(await rows('ticks_a'));
  expect(pairs).toBeGreaterThan(0);
  expect(Number(await rows('ticks_b'))).toBe(pairs);
  expect(manifest.tables).toContainEqual(expect.objectContaining({ name: 'ticks_a', rows: pairs }));
  const copied = await sqlite3AsUser(content, '.dump');
  const own = (text: string) => text.split('\n').filter((line) => !/\bticks_[ab]\b/.test(line));
  expect(own(copied)).toEqual(own(before));
  expect(site.foreignFiles()).toEqual([]);
  return archive;
}

async function inAllFormats(site: SqliteSite, archive: string, all: boolean) {
  const path = (name: string) => site.bench.path(name);
  const content = path('content.db');
  writeFileSync(path('content.sql'), await sqlite3AsUser(content, '.dump'));
  copyFileSync(archive, path('foreign.db.zst'));
  // Another frame, another checksum: not known to be ours.
  await run('zstd', ['-qf', '-1', content, '-o', path('foreign.db.zst')]);
  await run('sh', ['-c', 'gzip -c "$1" > "$1.gz"', '-', content]);
  await run('sh', ['-c', 'gzip -c "$1" > "$1.gz"', '-', path('content.sql')]);
  const formats = [
    { path: content, name: 'foreign.db' },
    { path: `${content}.gz`, name: 'foreign.db.gz' },
    { path: path('content.sql'), name: 'foreign.sql' },
  ];
  if (!all) return formats;
  return [
    ...formats,
    { path: path('foreign.db.zst'), name: 'foreign.db.zst' },
    { path: content, name: 'foreign.sqlite3' },
    { path: `${path('content.sql')}.gz`, name: 'foreign.sql.gz' },
  ];
}

async function expectAsBefore(site: SqliteSite, mode: Mode, isOwn: boolean): Promise<void> {
  expect((await site.sqlite3('PRAGMA journal_mode')).trim()).toBe(mode);
  const stats = statSync(site.path);
  expect({ uid: stats.uid, mode: stats.mode & 0o777 }).toEqual({ uid: user, mode: 0o640 });
  expect((await site.sqlite3('PRAGMA integrity_check')).trim()).toBe('ok');
  if (isOwn) expect((await site.sqlite3('PRAGMA auto_vacuum')).trim()).toBe('0');
}
