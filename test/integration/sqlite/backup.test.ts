import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Dump } from '../../../src/core/engines/engine.ts';
import { failureOf } from '../../support/failure.ts';
import { samplePath, testWith } from '../../support/samples.ts';
import { ApplicationProcess, canRunAs, never, Site } from './support.ts';

const APPLICATION_UID = 5001;
const othersToo = await canRunAs(APPLICATION_UID);

let site: Site;
beforeEach(() => {
  site = new Site();
});
afterEach(() => site.dispose());

describe.each(['wal', 'delete'] as const)('backup of a database in %s mode', (mode) => {
  test('is consistent while an application writes every 5 ms', async () => {
    site.fill(mode);
    const application = await new ApplicationProcess(site.path, { everyMs: 5 }).started();
    const dumps: Dump[] = [];
    for (let round = 0; round < 3; round++) dumps.push(await site.dump());
    const { written, failures } = await application.end();
    expect(failures).toEqual([]);
    expect(written).toBeGreaterThan(10);
    const drop = await site.unpack(join(site.backups, 'spool.partial'), dumps.at(-1) as Dump, true);
    const copy = new Database(drop.path, { readonly: true });
    const wrong = copy.prepare('SELECT count(*) FROM ticks WHERE twice <> 2 * n').pluck().get();
    const ticks = copy.prepare('SELECT count(*) FROM ticks').pluck().get();
    copy.close();
    expect(wrong).toBe(0);
    const counts = dumps.map(({ tables }) => tables.find(({ name }) => name === 'ticks')?.rows);
    expect(counts.at(-1)).toBe(ticks);
    expect(counts).toEqual(counts.toSorted((a, b) => Number(a) - Number(b)));
    expect(dumps[0]?.database.properties['journalMode']).toBe(mode === 'wal' ? 'wal' : 'rollback');
    expect(site.mode()).toBe(mode);
  });

  test.runIf(othersToo)('works as the application: its -wal and -shm stay its own', async () => {
    site.fill(mode);
    site.give(APPLICATION_UID);
    chmodSync(site.path, 0o600);
    const everyMs = 5;
    const options = { everyMs, uid: APPLICATION_UID };
    const application = await new ApplicationProcess(site.path, options).started();
    await using lock = await site.backup.lock({ purpose: 'backup', waitMs: 0 }, never);
    const dump = await site.dump();
    expect(lock.lost.aborted).toBe(false);
    const strangers = readdirSync(site.folder).filter(
      (name) => statSync(join(site.folder, name)).uid !== APPLICATION_UID,
    );
    const { failures } = await application.end();
    expect(failures).toEqual([]);
    expect(strangers).toEqual([]);
    expect(site.leftovers()).toEqual([]);
    expect(dump.tables.find(({ name }) => name === 'orders')?.rows).toBe(500);
    // Nobody has the file open now: a backup that creates -wal anew must not own it either.
    await site.dump();
    const after = await new ApplicationProcess(site.path, options).started();
    expect((await after.end()).failures).toEqual([]);
  });
});

test('a dying writer’s hot journal is rolled back, not backed up', async () => {
  site.fill('delete', 20_000);
  const before = site.content();
  const script = `
    import Database from 'better-sqlite3';
    const db = new Database(process.argv[1]);
    db.pragma('cache_size = 10');
    db.exec("BEGIN; UPDATE orders SET note = 'half'");
    process.stdout.write('dirty');
    setInterval(() => {}, 1000);`;
  const args = ['--input-type=module', '-e', script, site.path];
  const writer = spawn(process.execPath, args, {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(writer.stdout, 'data');
  writer.kill('SIGKILL');
  await once(writer, 'close');
  expect(existsSync(`${site.path}-journal`)).toBe(true);
  const drop = await site.dropOfOwn();
  expect(site.content(drop.path)).toBe(before);
});

test('what was odd in the source is backed up all the same, with a warning', async () => {
  site.fill('wal');
  const database = new Database(site.path);
  database.pragma('foreign_keys = OFF');
  database.exec(`INSERT INTO orders VALUES (90001, 424242, 'orphan', NULL);
    CREATE TABLE strict (n INTEGER); INSERT INTO strict VALUES (NULL)`);
  database.unsafeMode();
  database.exec(`PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = replace(sql, 'INTEGER', 'INTEGER NOT NULL') WHERE name = 'strict'`);
  database.close();
  const dump = await site.dump();
  expect(dump.warnings).toEqual([
    '1 row(s) of orders refer to rows of customer that do not exist',
    'NULL value in strict.n',
  ]);
  expect(dump.database.notValid).toEqual(['main.orders.customer']);
});

test('a schema that needs functions of the application is backed up', async () => {
  const database = new Database(site.path);
  database.function('mine', { deterministic: true }, (x: unknown) => x);
  database.exec(`CREATE TABLE t (a); CREATE INDEX i ON t (mine(a)); INSERT INTO t VALUES (1), (2);
    CREATE TABLE u (a); INSERT INTO u VALUES (1)`);
  database.close();
  const dump = await site.dump();
  expect(dump.tables.map(({ name, rows }) => [name, rows])).toEqual([
    ['t', 2],
    ['u', 1],
  ]);
  expect(dump.warnings.join()).toMatch(/table t could not be checked: .*mine/);
});

test('a damaged source is an error, and nothing is left', async () => {
  site.fill('delete', 2000);
  const bytes = readFileSync(site.path);
  bytes.fill(0xff, 4096 * 20, 4096 * 21);
  writeFileSync(site.path, bytes);
  const error = await failureOf(site.dump());
  expect(error.code).toBe('backup/source-corrupt');
  expect(site.leftovers()).toEqual([]);
});

test('says what is wrong with the file', async () => {
  expect(await failureOf(site.dump())).toMatchObject({ code: 'database/missing', retryable: true });
  expect((await site.backup.probe(never)).exists).toBe(false);
  writeFileSync(site.path, '');
  expect((await failureOf(site.dump())).code).toBe('backup/empty-database');
  writeFileSync(site.path, 'this is a letter, and no database at all\n'.repeat(100));
  expect((await failureOf(site.dump())).code).toBe('database/not-sqlite');
  const checks = await site.backup.checks(never);
  expect(checks.filter(({ status }) => status === 'failed').length).toBe(1);
  expect(site.leftovers()).toEqual([]);
});

test('waits for a writer in rollback-journal mode', async () => {
  site.fill('delete');
  const writer = new Database(site.path);
  writer.exec("BEGIN EXCLUSIVE; UPDATE customer SET name = name || '!'");
  const dumping = site.dump();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  writer.exec('COMMIT');
  writer.close();
  const dump = await dumping;
  expect(dump.tables.find(({ name }) => name === 'customer')?.rows).toBe(500);
  const drop = await site.unpack(join(site.backups, 'spool.partial'), dump, true);
  expect(site.content(drop.path)).toBe(site.content());
});

test.runIf(othersToo)('a read-only mount is refused before anything is tried', async () => {
  site.fill('wal');
  const mounted = spawnSync('mount', ['--bind', site.folder, site.folder]).status === 0;
  if (!mounted) return;
  try {
    spawnSync('mount', ['-o', 'remount,bind,ro', site.folder]);
    expect((await failureOf(site.dump())).code).toBe('database/not-writable');
  } finally {
    spawnSync('umount', [site.folder]);
  }
});

describe.runIf(othersToo)('rights of the daemon', () => {
  const script = fileURLToPath(new URL('./dump-as.ts', import.meta.url));
  const run = (args: string[]) => {
    const folder = join(site.root, 'theirs');
    mkdirSync(folder, { mode: 0o700 });
    spawnSync('chown', ['1000:1000', folder]);
    const command = [...args, '--', process.execPath, script, site.path, join(folder, 'spool')];
    const { stdout, stderr } = spawnSync('setpriv', command, { encoding: 'utf8' });
    if (!stdout) throw new Error(stderr);
    return JSON.parse(stdout) as { code?: string; hint?: string; rows?: number };
  };
  const as1000 = ['--reuid=1000', '--regid=1000', '--clear-groups'];

  test('without any, another user’s file is refused with a way out', () => {
    site.fill('wal');
    site.give(APPLICATION_UID);
    const answer = run([...as1000, '--inh-caps=-all']);
    expect(answer.code).toBe('backup/not-owner');
    expect(answer.hint).toMatch(/PUID=5001 .*cap_add/);
  });

  test('of root’s file it is not told to run as root', () => {
    site.fill('wal');
    site.give(0);
    const { hint } = run([...as1000, '--inh-caps=-all']);
    expect(hint).not.toContain('PUID=0');
    expect(hint).toMatch(/cap_add.* hand its files over: chown -R 1000:1000 /);
  });

  test('with setuid, setgid and kill alone it becomes the owner', () => {
    site.fill('wal');
    site.give(APPLICATION_UID);
    chmodSync(site.path, 0o600);
    const caps = '+setuid,+setgid,+kill';
    const answer = run([...as1000, `--inh-caps=${caps}`, `--ambient-caps=${caps}`]);
    expect(answer).toEqual({ rows: 500 });
    expect(site.leftovers()).toEqual([]);
  });

  test('with none it backs up its own', () => {
    site.fill('wal');
    site.give(1000);
    expect(run([...as1000, '--inh-caps=-all'])).toEqual({ rows: 500 });
  });
});

const sample = samplePath('chinook.sqlite');
testWith(sample)('Chinook: backed up and restored, equal', async () => {
  copyFileSync(sample as string, site.path);
  chmodSync(site.path, 0o644);
  const before = site.content();
  const drop = await site.dropOfOwn();
  expect(drop.manifest?.tables.find(({ name }) => name.toLowerCase() === 'track')?.rows).toBe(3503);
  truncateSync(site.path, 0);
  await site.swapped(drop);
  expect(site.content()).toBe(before);
});
