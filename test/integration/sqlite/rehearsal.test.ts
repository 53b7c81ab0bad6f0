import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { manifestOf } from '../../../src/backup/manifest-of.ts';
import { verdictOf } from '../../../src/backup/verify/verdict.ts';
import { formatArchiveId } from '../../../src/core/archive/archive-name.ts';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { unpack } from '../../../src/core/archive/unpack.ts';
import { SqliteRehearsalEngine } from '../../../src/core/engines/sqlite/rehearsal/engine.ts';
import { SqliteTool } from '../../../src/core/engines/sqlite/tool-client.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { canFailReads, FailingFile } from '../../support/failing-file.ts';
import { failureOf } from '../../support/failure.ts';
import { cutUnpacked, rehearseFromStore } from '../../support/rehearsals-of.ts';
import { canMount, SmallDisk } from '../../support/small-disk.ts';
import { Site } from './support.ts';

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const never = new AbortController().signal;
let site: Site;
let manifest: Manifest;
let archive: string;
let rounds = 0;

// Nothing here changes the database or its backup.
beforeAll(async () => {
  site = new Site();
  site.fill('wal', 200);
  const spool = join(site.backups, 'spool.partial');
  const dump = await site.backup.dump(
    {
      spool,
      compressionLevel: 3,
      excludeTableData: [],
      rowCounts: 'exact',
      nice: 0,
      log: silentLogger(),
    },
    never,
  );
  const readBack = await site.backup.readBack(spool, dump, never);
  const id = formatArchiveId('app', new Date());
  const archiveFile = `${id}${(await site.backup.planDump()).archiveExtension}`;
  archive = join(site.backups, archiveFile);
  copyFileSync(spool, archive);
  manifest = manifestOf({
    id,
    name: 'app',
    engine: 'sqlite',
    archiveFile,
    dump,
    readBack,
    rowCounts: 'exact',
    excludedTableData: [],
    finishedAt: new Date(),
    version: 'test',
  });
});
afterAll(() => site.dispose());

/** `damage` is done to the unpacked file. */
async function rehearse(
  change: Partial<Manifest> = {},
  queries: readonly string[] = [],
  damage: (path: string) => void = () => {},
  workFolder = join(site.backups, `work-${rounds++}`),
) {
  mkdirSync(workFolder);
  const changed = { ...manifest, ...change };
  const { file, sha256 } = manifest.archive;
  const claimed = { path: archive, fileName: file, workFolder, sha256, force: false };
  const unpacked = await unpack({ ...claimed, manifest: changed }, never);
  damage(unpacked.path);
  const engine = new SqliteRehearsalEngine(join(site.backups, '.own'));
  const request = { manifest: changed, archive: unpacked, workFolder, queries };
  return await engine.rehearse({ ...request, log: silentLogger(), onProgress: () => {} }, never);
}

/** Without the checksum of the content, which would find it first. */
function unsigned(): Partial<Manifest> {
  const { contentSha256: _, ...rest } = manifest.archive;
  return { archive: rest };
}

test('a backup is whole: every row counted, integrity, foreign keys, queries', async () => {
  const before = site.content();
  const found = await rehearse({}, [`SELECT count(*) > 0 FROM "${manifest.tables[0]?.name}"`]);
  expect(found.tables).toEqual(manifest.tables);
  expect(site.content()).toBe(before);
});

test('what only the application can check is told as not covered', async () => {
  const own = (path: string) => {
    const database = new DatabaseSync(path);
    database.function('mine', { deterministic: true }, (_value) => 1);
    database.exec(`PRAGMA journal_mode = DELETE;
      CREATE TABLE own (a INTEGER CHECK (a > 0)); INSERT INTO own VALUES (1);
      CREATE INDEX by_mine ON own (mine(a))`);
    database.close();
  };
  const tables = [...manifest.tables, { schema: 'main', name: 'own', rows: 1 }];
  const found = await rehearse({ ...unsigned(), tables }, [], own);
  expect(found.notCovered).toEqual([expect.stringMatching(/^table own could not be checked/)]);
  expect((await rehearse()).notCovered).toEqual([]);
});

test('what is wrong with the content is found', async () => {
  const more = manifest.tables.map((table) => ({ ...table, rows: table.rows + 1 }));
  const orphan = (path: string) => {
    const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
    database.exec(`PRAGMA journal_mode = DELETE;
      CREATE TABLE "over" (id INTEGER PRIMARY KEY);
      CREATE TABLE "under" (id INTEGER REFERENCES "over"(id)); INSERT INTO "under" VALUES (7)`);
    database.close();
  };
  const cases: [string, Partial<Manifest>, ((path: string) => void)?][] = [
    ['restore/rows-differ', { tables: more }],
    ['verify/content-differs', {}, orphan],
    ['verify/foreign-keys', unsigned(), orphan],
    ['drop/corrupt', unsigned(), (path) => writeFileSync(path, Buffer.alloc(4096), { flag: 'a' })],
  ];
  for (const [code, change, damage] of cases) {
    const error = await failureOf(rehearse(change, [], damage));
    expect(error.code).toBe(code);
    expect(verdictOf(error)).toBe('failed');
  }
});

test('a query must return one true value, and cannot change anything', async () => {
  const path = join(site.folder, 'copy.db');
  const copy = new DatabaseSync(path);
  copy.exec('CREATE TABLE t (i); INSERT INTO t VALUES (1)');
  copy.close();
  const queries = [
    'SELECT i = 1 FROM t',
    'SELECT 1 WHERE 0',
    'SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3',
    'SELECT x FROM nowhere',
    'DELETE FROM t',
    "ATTACH '/etc/passwd' AS other",
    'SELECT i FROM t',
  ];
  const answers = await new SqliteTool().ask('ask', { path, queries }, { signal: never });
  expect(answers).toEqual([
    { rows: 1, value: 1 },
    { rows: 0, value: null },
    { rows: 2, value: 2 },
    { error: 'no such table: nowhere' },
    { error: expect.stringContaining('readonly') },
    { error: expect.stringContaining('not authorized') },
    { rows: 1, value: 1 },
  ]);
  const wrong = await failureOf(rehearse({}, ['SELECT 1', 'SELECT 0']));
  expect(wrong.message).toContain('it returned 0, not true: SELECT 0');
  expect(verdictOf(wrong)).toBe('failed');
  const noQuery = await failureOf(rehearse({}, ['SELEKT 1']));
  expect(noQuery.code).toBe('verify/query-invalid');
  expect(verdictOf(noQuery)).toBe('inconclusive');
});

test('one at a time, and the lock leaves nothing but its own file', async () => {
  const folder = join(site.backups, '.own');
  const engine = new SqliteRehearsalEngine(folder);
  const held = await engine.lock({ waitMs: 0 }, never);
  const busy = await failureOf(engine.lock({ waitMs: 0 }, never));
  expect(busy).toMatchObject({ code: 'lock/busy', facts: { holder: 'rehearsal' } });
  await held[Symbol.asyncDispose]();
  await using _next = await engine.lock({ waitMs: 30_000 }, never);
  expect(readdirSync(folder)).toContain('.rehearsal.dropback-lock.db');
});

/** Needs more memory than SQLite keeps: it goes into a temporary file. */
const spilling = `SELECT count(DISTINCT x) > 0 FROM (
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  SELECT hex(randomblob(60)) || i AS x FROM n)`;

test.runIf(canMount)(
  'a query has the room of the work folder, and its want is no answer',
  async () => {
    using disk = new SmallDisk(4);
    const small = await failureOf(rehearse({}, [spilling], undefined, join(disk.path, 'work')));
    expect(small.code).toBe('disk/full');
    expect(verdictOf(small)).toBe('inconclusive');
    disk.resize(64);
    await rehearse({}, [spilling], undefined, join(disk.path, 'again'));
  },
);

const onFailingDisk = canFailReads ? test : () => {};
onFailingDisk('a disk that fails beneath the scratch file is no bad backup', async () => {
  const path = join(site.folder, 'failing.db');
  const copy = new DatabaseSync(path);
  copy.exec(`CREATE TABLE t (b); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
    WHERE i < 200) INSERT INTO t SELECT randomblob(2000) FROM n`);
  copy.close();
  {
    using _failing = new FailingFile(path, 100_000);
    const queries = ['SELECT count(DISTINCT b) = 200 FROM t'];
    const asked = await failureOf(
      new SqliteTool().ask('ask', { path, queries }, { signal: never }),
    );
    const checked = await failureOf(new SqliteTool().ask('inspect', { path }, { signal: never }));
    for (const error of [asked, checked]) {
      expect(error.code).toBe('disk/failing');
      expect(verdictOf(error)).toBe('inconclusive');
    }
  }
  const whole = await new SqliteTool().ask('inspect', { path }, { signal: never });
  expect(whole.damage).toEqual([]);
});

test('a volume that does not keep what is unpacked there is no bad backup', async () => {
  const engine = new SqliteRehearsalEngine(join(site.backups, '.own'));
  const stored = (change: Partial<Manifest>, onUnpacked?: (path: string) => void) => {
    const folder = join(site.backups, `stored-${rounds++}`);
    return rehearseFromStore(
      engine,
      { manifest: { ...manifest, ...change }, archive, folder },
      onUnpacked,
    );
  };
  const flip = (path: string) => {
    const content = readFileSync(path);
    content[5000] = (content[5000] ?? 0) ^ 1;
    writeFileSync(path, content);
  };
  for (const damage of [flip, cutUnpacked]) {
    const error = await failureOf(stored({}, damage));
    expect(error.code).toBe('verify/not-as-in-archive');
    expect(verdictOf(error)).toBe('inconclusive');
  }
  const tables = manifest.tables.map((table) => ({ ...table, rows: table.rows + 1 }));
  expect((await failureOf(stored({ tables }))).code).toBe('restore/rows-differ');
  const contentSha256 = '0'.repeat(64);
  const other = await failureOf(stored({ archive: { ...manifest.archive, contentSha256 } }));
  expect(verdictOf(other)).toBe('failed');
});

onFailingDisk('nor is one that gives nothing back any more', async () => {
  const engine = new SqliteRehearsalEngine(join(site.backups, '.own'));
  using failing = new DisposableStack();
  const error = await failureOf(
    rehearseFromStore(
      engine,
      { manifest, archive, folder: join(site.backups, 'failing') },
      (path) => {
        failing.use(new FailingFile(path, 4096));
      },
    ),
  );
  expect(verdictOf(error)).toBe('inconclusive');
});

test('what the rehearsal lacks, or may not do, says nothing of the backup', async () => {
  for (const query of [
    'SELECT levenshtein(1, 2) = 0',
    "SELECT 'a' < 'b' COLLATE german",
    'DELETE FROM main.sqlite_sequence',
    "ATTACH '/etc/passwd' AS other",
  ]) {
    const error = await failureOf(rehearse({}, [query]));
    expect(error.code, query).toBe('verify/query-impossible');
    expect(verdictOf(error)).toBe('inconclusive');
  }
  const missing = await failureOf(rehearse({}, ['SELECT count(*) > 0 FROM nowhere']));
  expect(verdictOf(missing)).toBe('failed');
});
