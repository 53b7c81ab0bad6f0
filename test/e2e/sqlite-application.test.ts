import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findProgram } from '../../src/core/runtime/process/find-program.ts';
import { TestContainers } from '../support/containers.ts';
import { Daemon } from '../support/daemon.ts';
import {
  isRoot,
  SqliteSite,
  sqlite3AsUser,
  user,
  Writer,
  writerScript,
} from '../support/sqlite-site.ts';
import { testbed } from '../support/testbed.ts';

const run = promisify(execFile);
const modes = ['wal', 'delete'] as const;

describe.skipIf(!findProgram('sqlite3') || !isRoot)('SQLite beside its application', () => {
  describe.skipIf(!testbed.docker)('in a container', () => {
    test.for(modes)(
      '%s mode: it writes until it is stopped, and goes on writing afterwards',
      { timeout: 120_000 },
      async (mode) => {
        await using site = await SqliteSite.create(mode);
        const { bench } = site;
        const good = await goodCopy(site);
        await using containers = new TestContainers();
        const app = await containers.create('app', {
          script: 'exec node --disable-warning=ExperimentalWarning /writer.mjs /data/app.db',
          user: `${user}:${user}`,
          binds: [`${bench.path('data')}:/data`, `${writerScript}:/writer.mjs:ro`],
        });
        await using daemon = new Daemon('db-restore', {
          ...site.environment,
          RESTORE_STOP_CONTAINERS: app,
          DOCKER_HOST: containers.host,
        });
        const pairs = async () =>
          Number(await site.sqlite3('-cmd', '.timeout 20000', 'SELECT count(*) FROM ticks_b'));
        const isWriting = async () => {
          const there = "SELECT count(*) FROM sqlite_schema WHERE name = 'ticks_b'";
          if ((await site.sqlite3('-cmd', '.timeout 20000', there)).trim() === '0')
            return undefined;
          return (await pairs()) > 20 ? true : undefined;
        };
        await daemon.until('writes', isWriting);
        await site.sqlite3(
          '-cmd',
          '.timeout 20000',
          'DELETE FROM orders; INSERT INTO ticks_b VALUES (1e9)',
        );
        await bench.drop(good);
        const report = await daemon.until('a report', () => bench.report('good.db'), 90_000);
        expect(report.error).toBeUndefined();
        expect(report.outcome).toBe('restored');
        expect(report.stopped).toEqual([app]);
        expect(report.downtimeMs).toBeGreaterThanOrEqual(0);

        // The dump has no ticks: what is there now was written by the application after it.
        await daemon.until('writes again', isWriting);
        await containers.docker.getContainer(app).stop();
        const [a, b] = (
          await site.sqlite3(
            'SELECT (SELECT count(*) FROM ticks_a), (SELECT count(*) FROM ticks_b)',
          )
        ).split('|');
        expect(Number(a)).toBe(Number(b));
        const log = (await containers.docker.getContainer(app).logs({ stdout: true })).toString();
        const ends = [...log.matchAll(/\{"written".*\}/g)].map(([text]) => JSON.parse(text));
        expect(ends).toHaveLength(2);
        for (const end of ends) expect(end.failures).toEqual([]);
        await site.sqlite3('DROP TABLE ticks_a; DROP TABLE ticks_b');
        expect((await site.dump()) === (await sqlite3AsUser(good, '.dump'))).toBe(true);
        expect(site.foreignFiles()).toEqual([]);
      },
    );
  });

  test.for(modes)(
    '%s mode: one that nobody told us to stop keeps its database',
    { timeout: 120_000 },
    async (mode) => {
      await using site = await SqliteSite.create(mode);
      const { bench } = site;
      const good = await goodCopy(site);
      const before = await site.dump();
      await using writer = await Writer.start(site.path);
      await using daemon = new Daemon('db-restore', site.environment);
      await bench.drop(good);
      const report = await daemon.until('a report', () => bench.report('good.db'), 90_000);
      expect(report).toMatchObject({ folder: 'failed', outcome: 'failed' });
      expect(report.error?.code).toBe('restore/database-in-use');
      expect(report.error?.hint).toContain('RESTORE_STOP_CONTAINERS');
      await sleep(200);
      const { written, failures } = await writer.stop();
      expect(failures).toEqual([]);
      expect(Number(await site.sqlite3('SELECT count(*) FROM ticks_a'))).toBe(written);
      await site.sqlite3('DROP TABLE ticks_a; DROP TABLE ticks_b');
      expect((await site.dump()) === before).toBe(true);
      expect((await site.sqlite3('PRAGMA journal_mode')).trim()).toBe(mode);
      expect(site.foreignFiles()).toEqual([]);
      const leftovers = (await bench.files('data')).filter((name) => /dropback_[sp]_/.test(name));
      expect(leftovers).toEqual([]);
    },
  );

  test.for(modes)(
    '%s mode: a file that is mounted by itself is written over',
    async (mode, { skip }) => {
      await using site = await SqliteSite.create(mode);
      const { bench } = site;
      const good = await goodCopy(site);
      const mounted = await run('mount', ['--bind', site.path, site.path]).catch(() => undefined);
      if (!mounted) skip('no right to mount');
      try {
        const { ino } = statSync(site.path);
        await site.sqlite3('DELETE FROM orders');
        await using daemon = new Daemon('db-restore', site.environment);
        await bench.drop(good);
        const report = await daemon.until('a report', () => bench.report('good.db'));
        expect(report.error).toBeUndefined();
        expect(report.outcome).toBe('restored');
        expect(statSync(site.path).ino).toBe(ino);
        expect((await site.dump()) === (await sqlite3AsUser(good, '.dump'))).toBe(true);
        expect((await site.sqlite3('PRAGMA journal_mode')).trim()).toBe(mode);
        expect(site.foreignFiles()).toEqual([]);
        await daemon.stop();
      } finally {
        await run('umount', [site.path]);
      }
    },
  );

  test.for(['rights', 'mount'] as const)(
    'a folder that can only be read (%s): told, with the way out; the drop waits for it',
    { timeout: 120_000 },
    async (how, { skip }) => {
      await using site = await SqliteSite.create('delete');
      const { bench } = site;
      const good = await goodCopy(site);
      await site.sqlite3('DELETE FROM log');
      const before = await site.dump();
      const data = bench.path('data');
      if (how === 'rights') chmodSync(data, 0o555);
      else {
        const mounted = await run('mount', ['--bind', data, data]).catch(() => undefined);
        if (!mounted) skip('no right to mount');
        await run('mount', ['-o', 'remount,bind,ro', data]);
      }
      const makeWritable = async () =>
        how === 'mount' ? await run('umount', [data]) : chmodSync(data, 0o755);
      try {
        await using daemon = new Daemon('db-restore', site.environment);
        await bench.drop(good);
        await daemon.says(/database\/not-writable/);
        await daemon.says(/mount the folder of the database read-write/);
        expect(await bench.report('good.db')).toBeUndefined();
        expect(await bench.files('restore', 'incoming')).toContain('good.db');
        await daemon.stop();
      } finally {
        await makeWritable();
      }
      expect((await site.dump()) === before).toBe(true);
      await using daemon = new Daemon('db-restore', site.environment);
      const report = await daemon.until('a report', () => bench.report('good.db'));
      expect(report.outcome).toBe('restored');
    },
  );
});

/** A sound copy outside of the application's folder. */
async function goodCopy(site: SqliteSite): Promise<string> {
  const inside = site.bench.path('data', 'good.db');
  const good = site.bench.path('good.db');
  await site.sqlite3(`VACUUM INTO '${inside}'`);
  copyFileSync(inside, good);
  chmodSync(good, 0o644);
  await run('rm', [inside]);
  return good;
}
