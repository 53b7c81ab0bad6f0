import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failureOf } from '../../support/failure.ts';
import { ApplicationProcess, canRunAs, fill, never, Site } from './support.ts';

const APPLICATION_UID = 5001;
const othersToo = await canRunAs(APPLICATION_UID);

let site: Site;
beforeEach(() => {
  site = new Site();
});
afterEach(() => site.dispose());

/** A foreign file like the live one. */
function foreign(name = 'foreign.db', mode: 'wal' | 'delete' = 'delete') {
  const path = join(site.work, name);
  fill(path, mode, 400);
  return site.drop(path);
}

describe.each(['wal', 'delete'] as const)('restore into a database in %s mode', (mode) => {
  test.runIf(othersToo)('keeps owner, mode bits, journal mode and page size', async () => {
    const small = new Database(site.path);
    small.exec('PRAGMA page_size = 1024; VACUUM');
    small.close();
    site.fill(mode);
    site.give(APPLICATION_UID);
    chmodSync(site.path, 0o640);
    const drop = foreign();
    const content = site.content(drop.path);
    const { previous } = await site.swapped(drop);
    const { uid, gid, mode: bits } = statSync(site.path);
    expect([uid, gid, bits & 0o777]).toEqual([APPLICATION_UID, APPLICATION_UID, 0o640]);
    expect(site.mode()).toBe(mode);
    const database = new Database(site.path);
    expect(database.pragma('page_size', { simple: true })).toBe(1024);
    database.close();
    expect(site.content()).toBe(content);
    for (const name of readdirSync(site.folder)) {
      expect([name, statSync(join(site.folder, name)).uid]).toEqual([name, APPLICATION_UID]);
    }
    expect(site.leftovers().length).toBe(1);
    expect(previous?.identity).toMatch(/^\d+:\d+$/);
    const uidIsFine = { everyMs: 5, uid: APPLICATION_UID };
    const application = await new ApplicationProcess(site.path, uidIsFine).started();
    expect((await application.end()).failures).toEqual([]);
  });

  test('refuses to swap while another program writes', async () => {
    site.fill(mode);
    const state = await site.staged(foreign());
    const writer = new Database(site.path);
    writer.exec("BEGIN IMMEDIATE; INSERT INTO customer (name) VALUES ('in flight')");
    const error = await failureOf(site.restore.swap(state, site.context));
    expect(error.code).toBe('restore/database-in-use');
    expect(error.hint).toMatch(/RESTORE_STOP_CONTAINERS/);
    writer.exec('COMMIT');
    writer.close();
    await site.restore.discard(site.state, site.context);
    const live = new Database(site.path);
    const count = live.prepare("SELECT count(*) FROM customer WHERE name = 'in flight'").pluck();
    expect(count.get()).toBe(1);
    live.close();
    expect(site.mode()).toBe(mode);
    expect(site.leftovers()).toEqual([]);
  });

  test('a text dump by sqlite3 .dump brings back the same', async () => {
    site.fill(mode);
    const before = dumpLines(site.path);
    const path = join(site.work, 'app.sql');
    writeFileSync(path, before.join('\n'));
    site.change();
    expect(dumpLines(site.path)).not.toEqual(before);
    await site.swapped(site.drop(path, { format: 'sqlite-plain' }));
    expect(dumpLines(site.path)).toEqual(before);
    const live = new Database(site.path, { readonly: true });
    const found = live.prepare("SELECT body FROM search WHERE search MATCH 'hello'").pluck().all();
    live.close();
    expect(found).toEqual(['hello world']);
  });
});

function dumpLines(path: string): string[] {
  const { stdout } = spawnSync('sqlite3', [path, '.dump'], { maxBuffer: 1 << 28 });
  return stdout.toString().split('\n');
}

test('in WAL mode a program that only has the file open stops the swap', async () => {
  site.fill('wal');
  const before = site.content();
  const state = await site.staged(foreign());
  const idle = await new ApplicationProcess(site.path, { everyMs: 0 }).started();
  const error = await failureOf(site.restore.swap(state, site.context));
  expect(error.code).toBe('restore/database-in-use');
  await idle.end();
  expect(await site.restore.outcome(site.state, never)).toBe('not-swapped');
  await site.restore.discard(site.state, site.context);
  expect(site.mode()).toBe('wal');
  expect(site.leftovers()).toEqual([]);
  const live = new Database(site.path);
  live.exec('DROP TABLE ticks');
  live.close();
  expect(site.content()).toBe(before);
});

test('a crash between the two names of the old file: not swapped, and undone without a trace', async () => {
  site.fill('wal');
  const before = site.content();
  const state = await site.staged(foreign());
  const crashed = { ...state, phase: 'swapping', swapAt: '2026-11-22T19:15:00.000Z' };
  const database = new Database(site.path);
  database.pragma('journal_mode = DELETE');
  database.close();
  linkSync(site.path, String(state['previous']));
  expect(await site.restore.outcome(crashed, never)).toBe('not-swapped');
  await site.restore.discard(crashed, site.context);
  expect(site.leftovers()).toEqual([]);
  expect(statSync(site.path).nlink).toBe(1);
  expect(site.mode()).toBe('wal');
  expect(site.content()).toBe(before);
});

test('a crash just after the rename: swapped, and finished in the old journal mode', async () => {
  site.fill('wal');
  const old = site.content();
  const drop = foreign();
  const state = await site.staged(drop);
  const crashed = { ...state, phase: 'swapping', swapAt: '2026-11-22T19:15:00.000Z' };
  const database = new Database(site.path);
  database.pragma('journal_mode = DELETE');
  database.close();
  linkSync(site.path, String(state['previous']));
  renameSync(String(state['staging']), site.path);
  expect(await site.restore.outcome(crashed, never)).toBe('swapped');
  expect((await failureOf(site.restore.discard(crashed, site.context))).code).toMatch(/^internal/);
  const { previous } = await site.restore.replaced(crashed, never);
  expect(previous?.replacedAt).toBe('2026-11-22T19:15:00.000Z');
  await site.restore.finish(crashed, site.context);
  expect(site.mode()).toBe('wal');
  expect(site.content()).toBe(site.content(drop.path));
  expect(site.content(previous?.name)).toBe(old);
});

test('a kept file that was replaced by another is not dropped', async () => {
  site.fill('wal');
  const { previous } = await site.swapped(foreign());
  if (!previous) throw new Error('nothing was kept');
  const drop = (change: object) =>
    failureOf(site.restore.dropPrevious({ ...previous, ...change }, site.context));
  expect((await drop({ identity: '1:2' })).code).toBe('restore/previous-mismatch');
  expect((await drop({ name: site.path })).code).toBe('restore/previous-mismatch');
  expect(await site.restore.measurePrevious(previous, never)).toBe(previous.bytes);
});

test('devices are numbered anew by a restart of the host: what is kept is known by its inode', async () => {
  site.fill('wal');
  const old = site.content();
  const elsewhere = (identity: unknown) => String(identity).replace(/^\d+:/, '987654:');
  const staged = await site.staged(foreign());
  const state = { ...staged, stagingIdentity: elsewhere(staged['stagingIdentity']) };
  const swapped = await site.restore.swap(state, site.context);
  expect(await site.restore.outcome({ ...state, phase: 'swapping' }, never)).toBe('swapped');
  await site.restore.finish({ ...state, phase: 'swapping' }, site.context);
  if (!swapped.previous) throw new Error('nothing was kept');
  const kept = { ...swapped.previous, identity: elsewhere(swapped.previous.identity) };
  expect(await site.restore.measurePrevious(kept, never)).toBe(kept.bytes);
  const undone = await site.restore.swap(
    await site.restore.planUndo(kept, site.context),
    site.context,
  );
  expect(site.content()).toBe(old);
  if (!undone.previous) throw new Error('nothing was kept');
  const last = { ...undone.previous, identity: elsewhere(undone.previous.identity) };
  await site.restore.dropPrevious(last, site.context);
  expect(site.leftovers()).toEqual([]);
});

test('restores of another database are not its own, and are left alone by a sweep', async () => {
  site.fill('wal');
  const state = await site.staged(foreign());
  const other = { ...state, path: join(dirname(site.path), 'other.db') };
  const postgres = { engine: 'postgres', id: '0'.repeat(16) } as const;
  expect(await site.restore.isOfLive(state)).toBe(true);
  expect(await site.restore.isOfLive(other)).toBe(false);
  expect(await site.restore.isOfLive(postgres)).toBe(false);
  expect(await site.restore.sweep([state, postgres], site.context)).toEqual([]);
  await site.restore.discard(state, site.context);
});

test('a second name of the live file is swept; a kept file that no record names is not', async () => {
  site.fill('wal');
  const { previous } = await site.swapped(foreign());
  const second = join(dirname(site.path), `.${basename(site.path)}.dropback_p_${'0'.repeat(16)}`);
  linkSync(site.path, second);
  expect(await site.restore.sweep([], site.context)).toEqual([second]);
  expect(site.leftovers()).toEqual([basename(previous?.name ?? '')]);
});

test('a missing file is created, and what lay around it is not applied to it', async () => {
  site.fill('wal');
  const application = new Database(site.path);
  application.exec("INSERT INTO customer (name) VALUES ('only in the -wal')");
  for (const suffix of ['-wal', '-shm']) {
    writeFileSync(`${site.path}${suffix}.keep`, readFileSync(`${site.path}${suffix}`));
  }
  application.close();
  const drop = await site.dropOfOwn();
  rmSync(site.path);
  for (const suffix of ['-wal', '-shm']) {
    renameSync(`${site.path}${suffix}.keep`, `${site.path}${suffix}`);
  }
  const content = site.content(drop.path);
  const result = await site.swapped(drop);
  expect(result.previous).toBeUndefined();
  expect(result.warnings.join()).toMatch(/-wal belonged to a database that is gone/);
  expect(site.content()).toBe(content);
  expect(site.mode()).toBe('wal');
});

test('a stale journal is never applied to the new file', async () => {
  site.fill('wal');
  writeFileSync(`${site.path}-journal`, Buffer.alloc(4096, 0));
  const drop = foreign();
  await site.swapped(drop);
  expect(existsSync(`${site.path}-journal`)).toBe(false);
  expect(site.content()).toBe(site.content(drop.path));
});

test('a damaged live file can be restored, and is kept', async () => {
  site.fill('wal');
  const drop = await site.dropOfOwn();
  const content = site.content(drop.path);
  writeFileSync(site.path, 'no database any more'.repeat(500));
  const { previous } = await site.swapped(drop);
  expect(site.content()).toBe(content);
  expect(readFileSync(previous?.name ?? '', 'utf8')).toMatch(/^no database any more/);
});

test('an empty live file is filled, with nothing to keep', async () => {
  writeFileSync(site.path, '');
  const drop = foreign();
  const { previous } = await site.swapped(drop);
  expect(previous).toBeUndefined();
  expect(site.content()).toBe(site.content(drop.path));
  expect(site.leftovers()).toEqual([]);
});

test('a file with two names is written over in place: both show the new content', async () => {
  site.fill('wal');
  const other = join(site.root, 'other.db');
  linkSync(site.path, other);
  const { ino } = statSync(site.path);
  const drop = foreign();
  const { previous } = await site.swapped(drop);
  expect(statSync(site.path).ino).toBe(ino);
  expect(site.content(other)).toBe(site.content(drop.path));
  expect(previous && site.content(previous.name)).not.toBe(site.content());
});

test('a link to the database is followed', async () => {
  site.fill('wal');
  const real = join(site.folder, 'real.db');
  renameSync(site.path, real);
  symlinkSync('real.db', site.path);
  const drop = await site.dropOfOwn();
  site.change();
  await site.swapped(drop);
  expect(site.content(real)).toBe(site.content(drop.path));
  expect(readFileSync(site.path)).toEqual(readFileSync(real));
});

test.runIf(othersToo)('a file that is mounted by itself is written over in place', async () => {
  site.fill('wal');
  const source = join(site.root, 'source.db');
  renameSync(site.path, source);
  writeFileSync(site.path, '');
  if (spawnSync('mount', ['--bind', source, site.path]).status !== 0) return;
  try {
    const drop = foreign();
    const result = await site.swapped(drop);
    expect(site.content()).toBe(site.content(drop.path));
    expect(site.mode()).toBe('wal');
    const undo = await site.restore.planUndo(result.previous as never, site.context);
    await site.restore.swap(undo, site.context);
    await site.restore.finish(site.state, site.context);
    expect(site.content()).not.toBe(site.content(drop.path));
  } finally {
    spawnSync('umount', [site.path]);
  }
});

describe('refuses before anything is touched', () => {
  const refused = async (path: string, extra = {}) =>
    (await failureOf(site.restore.inspect(site.drop(path, extra), site.context))).code;

  test('files that are no whole database', async () => {
    site.fill('wal');
    const { path } = foreign();
    const whole = readFileSync(path);
    truncateSync(path, whole.length - 100);
    expect(await refused(path)).toBe('drop/truncated');
    truncateSync(path, whole.length - 4096);
    expect(await refused(path)).toBe('drop/truncated');
    writeFileSync(path, '');
    expect(await refused(path)).toBe('drop/empty');
    writeFileSync(path, Buffer.concat([whole, Buffer.alloc(4096)]));
    expect(await refused(path)).toBe('drop/corrupt');
    const bad = Buffer.from(whole);
    bad.fill(0xa5, 4096 * 10, 4096 * 11);
    writeFileSync(path, bad);
    expect(await refused(path)).toBe('drop/corrupt');
    writeFileSync(path, Buffer.concat([whole.subarray(0, 100), Buffer.alloc(4096)]));
    expect(await refused(path)).toMatch(/^drop\/(corrupt|truncated)$/);
    writeFileSync(path, 'not a database, just text'.repeat(1000));
    expect(await refused(path)).toBe('drop/unknown-content');
    expect(site.leftovers()).toEqual([]);
  });

  test('another application, a schema without rows, and lets force pass', async () => {
    site.fill('wal');
    const path = join(site.work, 'other.db');
    const other = new Database(path);
    other.exec('CREATE TABLE invoices (id); INSERT INTO invoices VALUES (1)');
    other.close();
    expect(await refused(path)).toBe('drop/not-same-application');
    await site.restore.inspect(site.drop(path, { force: true }), site.context);
    const bare = join(site.work, 'bare.db');
    fill(bare, 'delete', 0);
    const empty = new Database(bare);
    empty.unsafeMode();
    empty.exec(`DELETE FROM "naïve ""table""; --"; DROP TABLE search; CREATE TABLE search_data (id);
      CREATE TABLE search_idx (id); CREATE TABLE search_content (id); CREATE TABLE search_docsize (id);
      CREATE TABLE search_config (id)`);
    empty.close();
    expect(await refused(bare)).toBe('drop/schema-only');
    await site.restore.inspect(site.drop(bare, { force: true }), site.context);
  });

  test('references to nothing, unless the live database has them too', async () => {
    site.fill('wal');
    const orphan = (path: string) => {
      const database = new Database(path);
      database.exec(
        "PRAGMA foreign_keys = OFF; INSERT INTO orders VALUES (70001, 99999, '', NULL)",
      );
      database.close();
    };
    const { path } = foreign();
    orphan(path);
    expect(await refused(path)).toBe('drop/foreign-keys');
    orphan(site.path);
    const inspection = await site.restore.inspect(site.drop(path), site.context);
    expect(inspection.warnings).toEqual([
      '1 row(s) of orders refer to rows of customer that do not exist',
    ]);
  });
});

describe('text dumps', () => {
  const head = 'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n';
  const inspect = (sql: string) => {
    const path = join(site.work, 'dump.sql');
    writeFileSync(path, sql);
    const drop = site.drop(path, { format: 'sqlite-plain', force: true });
    return site.restore.inspect(drop, site.context);
  };
  const code = async (sql: string) => (await failureOf(inspect(sql))).code;
  const table = 'CREATE TABLE t(a);\nINSERT INTO t VALUES(1);\n';

  test('only whole ones', async () => {
    site.fill('wal');
    await inspect(`${head}${table}COMMIT;\n`);
    expect(await code(`${head}${table}`)).toBe('drop/truncated');
    expect(await code(`${head}${table}INSERT INTO t VAL`)).toBe('drop/truncated');
    expect(await code(`${head}${table}INSERT INTO t VALUES('x;\nCOMMIT;\n`)).toBe('drop/truncated');
    expect(await code(`${head}${table}ROLLBACK; -- due to errors\n`)).toBe('drop/incomplete');
    expect(await code(table)).toBe('drop/unknown-content');
    expect(await code(`${head}${table}INSERT INTO nowhere VALUES(1);COMMIT;\n`)).toBe(
      'drop/does-not-load',
    );
    const latin1 = Buffer.concat([
      Buffer.from(`${head}${table}INSERT INTO t VALUES('`),
      Buffer.from([0xe9]),
      Buffer.from("');\nCOMMIT;\n"),
    ]);
    expect(await code(latin1 as never)).toBe('drop/unsupported-encoding');
  });

  test('reach nothing outside', async () => {
    site.fill('wal');
    const before = site.content();
    const evil = join(site.root, 'evil.db');
    const secret = join(site.root, 'secret');
    writeFileSync(secret, 's3cret');
    const attacks = [
      `ATTACH '${evil}' AS evil; CREATE TABLE evil.x(a);`,
      `ATTACH '${site.path}' AS live; DROP TABLE live.customer;`,
      `COMMIT; VACUUM INTO '${evil}'; BEGIN;`,
      `.shell touch ${evil}\n`,
      `.output ${evil}\nSELECT 1;`,
      `SELECT load_extension('${evil}');`,
      `SELECT writefile('${evil}', 'x');`,
      `INSERT INTO t SELECT readfile('${secret}');`,
      `INSERT INTO t SELECT data FROM fsdir('${secret}');`,
      `CREATE VIRTUAL TABLE v USING csv(filename='${secret}');`,
    ];
    for (const attack of attacks) {
      expect([attack, await code(`${head}${table}${attack}\nCOMMIT;\n`)]).toEqual([
        attack,
        'drop/does-not-load',
      ]);
    }
    // Ignored rather than refused: it changes nothing.
    await inspect(`${head}PRAGMA temp_store_directory='${site.root}';${table}COMMIT;\n`);
    await inspect(`${head}PRAGMA journal_mode=WAL;PRAGMA max_page_count=9999999;${table}COMMIT;\n`);
    expect(existsSync(evil)).toBe(false);
    expect(site.content()).toBe(before);
    expect(site.leftovers()).toEqual([]);
  });

  test('end at the disk budget, however they grow', async () => {
    site.fill('wal');
    const bomb = `${head}CREATE TABLE b(x);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
      INSERT INTO b SELECT randomblob(100000) FROM n;COMMIT;\n`;
    expect(await code(bomb)).toBe('drop/over-budget');
  });

  test('end at the limits of their process: memory, temporary files', async () => {
    site.fill('wal');
    const large = `INSERT INTO t SELECT length(hex(zeroblob(400000000)) || hex(zeroblob(400000000)));`;
    expect(await code(`${head}${table}${large}COMMIT;\n`)).toBe('drop/does-not-load');
    const sort = `INSERT INTO t SELECT count(*) FROM (WITH RECURSIVE n(i) AS
      (SELECT 1 UNION ALL SELECT i + 1 FROM n)
      SELECT hex(randomblob(50000)) AS x FROM n ORDER BY x LIMIT -1 OFFSET 1);`;
    expect(await code(`${head}${table}${sort}COMMIT;\n`)).toBe('drop/over-budget');
  });

  test('with old double-quoted strings and triggers', async () => {
    site.fill('wal');
    const inspection = await inspect(`${head}CREATE TABLE d(a DEFAULT "x;y", b);
INSERT INTO d VALUES("q", 'it''s; -- not /* a comment');
CREATE TRIGGER tr AFTER INSERT ON d BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT ";END;"; END;
/* a comment; with a semicolon */ INSERT INTO d VALUES(1, 2); -- and; more
COMMIT;
`);
    expect(inspection.expectedTables).toEqual([{ schema: 'main', name: 'd', rows: 2 }]);
  });
});
