import { execFile } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { findProgram } from '../../src/core/runtime/process/find-program.ts';
import { type BadDump, badForBoth, copyCut, flipped, half } from '../support/bad-dumps.ts';
import { TestContainers } from '../support/containers.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { ScratchDatabase } from '../support/scratch-database.ts';
import { servers, type TestServer, testbed } from '../support/testbed.ts';

const run = promisify(execFile);

/** A database with something in it, and good dumps of it. */
interface Fixture {
  readonly environment: Readonly<Record<string, string>>;
  readonly bad: readonly BadDump[];
  /** A good dump, to show at the end that the daemon still works. */
  readonly good: string;
  readonly fingerprint: () => Promise<string>;
}

describe.skipIf(!testbed.docker)('bad input is refused while the application runs', () => {
  test.skipIf(!findProgram('sqlite3'))('SQLite', { timeout: 180_000 }, async () => {
    await using bench = await Bench.create();
    await refuseAll(bench, await sqliteFixture(bench));
  });

  test.for(servers)('PostgreSQL $major', { timeout: 180_000 }, async (server) => {
    await using bench = await Bench.create();
    await using scratch = await ScratchDatabase.create(server, 'test_bad');
    await refuseAll(bench, await postgresFixture(bench, scratch));
  });
});

/** Drops all of them at once: each must end in failed/ with its reason, and nothing else happen. */
async function refuseAll(bench: Bench, fixture: Fixture): Promise<void> {
  await using containers = new TestContainers();
  const app = await containers.create('app');
  const startedAt = async () =>
    (await containers.docker.getContainer(app).inspect()).State.StartedAt;
  const before = { startedAt: await startedAt(), fingerprint: await fixture.fingerprint() };

  await using daemon = new Daemon(
    'db-restore',
    bench.environment({
      ...fixture.environment,
      RESTORE_SETTLE_SECONDS: '0.5',
      RESTORE_STOP_CONTAINERS: app,
      DOCKER_HOST: containers.host,
    }),
  );
  await daemon.until('the drop folder', async () =>
    (await bench.files('restore')).includes('incoming') ? true : undefined,
  );
  for (const { make, name } of fixture.bad) await make(bench.path('restore', 'incoming', name));

  const wrong: string[] = [];
  for (const { what, name, code } of fixture.bad) {
    const report = await daemon.until(`the report of ${what}`, () => bench.report(name), 90_000);
    const { error, outcome, folder } = report;
    const isRefused =
      folder === 'failed' && outcome === 'refused' && report.downtimeMs === undefined;
    const isTold = error && code.test(error.code) && error.message && error.hint;
    if (!isRefused || !isTold) wrong.push(`${what}: ${JSON.stringify({ folder, outcome, error })}`);
  }
  expect(wrong).toEqual([]);
  expect(await bench.files('restore', 'incoming')).toEqual(['check']);
  // The last report may be there before its work folder has gone.
  await daemon.until('an empty work folder', async () =>
    (await bench.files('restore', 'work')).length === 0 ? true : undefined,
  );
  const failed = await bench.files('restore', 'failed');
  for (const { name } of fixture.bad) expect(failed).toContain(name);

  expect(await startedAt(), 'the container was never stopped').toBe(before.startedAt);
  expect(await fixture.fingerprint()).toBe(before.fingerprint);
  expect(daemon.isRunning).toBe(true);

  await bench.drop(fixture.good);
  const report = await daemon.until('a restore', () => bench.report(basename(fixture.good)));
  expect(report.error).toBeUndefined();
  expect(report.outcome).toBe('restored');
  expect(await startedAt(), 'now it was').not.toBe(before.startedAt);
  expect(await fixture.fingerprint()).toBe(before.fingerprint);
}

async function sqliteFixture(bench: Bench): Promise<Fixture> {
  const live = bench.path('data', 'app.db');
  await run('sqlite3', [
    live,
    'PRAGMA journal_mode=WAL',
    'CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, content TEXT)',
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
       INSERT INTO items SELECT i, 'item ' || i, hex(randomblob(50)) FROM n`,
  ]);
  const good = bench.path('good.db');
  const script = bench.path('good.sql');
  await run('sqlite3', [live, `VACUUM INTO '${good}'`]);
  writeFileSync(script, (await sqliteDump(good)).stdout);
  const text = readFileSync(script, 'utf8');
  const page = 4096;
  const bad: BadDump[] = [
    ...badForBoth({ script, extension: '.db' }),
    ...(['half', 'tail', 'header'] as const).map((where) => ({
      what: `a file of which the ${where} is missing`,
      name: `cut-${where}.db`,
      make: copyCut(good, (size) => ({ half: half(size), tail: size - 100, header: 60 })[where]),
      code: /^drop\/(truncated|unknown-content)$/,
    })),
    {
      what: 'a script cut within a statement',
      name: 'cut-statement.sql',
      make: copyCut(script, half),
      code: /^drop\/truncated$/,
    },
    {
      what: 'a script cut behind a statement',
      name: 'cut-behind.sql',
      make: (path) => writeFileSync(path, text.slice(0, text.indexOf('\n', half(text.length)) + 1)),
      code: /^drop\/truncated$/,
    },
    {
      what: 'a file with a damaged page',
      name: 'damaged.db',
      make: flipped(good, (content) => 2 * page + (content[2 * page] === 13 ? 4 : 3)),
      code: /^drop\/corrupt$/,
    },
    {
      what: 'a file with a damaged schema',
      name: 'damaged-schema.db',
      make: flipped(good, (content) => content.indexOf('CREATE TABLE items') + 3),
      code: /^drop\/corrupt$/,
    },
    {
      what: 'a database file that is named .sql',
      name: 'file.sql',
      make: (path) => cpSync(good, path),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'a database file that is named .dump.gz',
      name: 'file.dump.gz',
      make: (path) => writeFileSync(path, gzipSync(readFileSync(good))),
      code: /^drop\/wrong-(extension|engine)$/,
    },
    {
      what: 'a script of PostgreSQL',
      name: 'postgres.sql',
      make: (path) =>
        writeFileSync(
          path,
          '--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE a ();\n\n--\n-- PostgreSQL database dump complete\n--\n\n',
        ),
      code: /^drop\/wrong-engine$/,
    },
    {
      what: 'the output of pg_dumpall',
      name: 'dumpall.sql',
      make: (path) =>
        writeFileSync(path, '--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE a;\n'),
      code: /^drop\/(unsupported-dumpall|wrong-engine)$/,
    },
  ];
  return {
    environment: { DATABASE_URL: `sqlite:///${live}` },
    bad,
    good,
    fingerprint: async () => (await sqliteDump(live)).stdout,
  };
}

const sqliteDump = (path: string) =>
  run('sqlite3', [path, '.dump'], { maxBuffer: 64 * 1024 * 1024 });

async function postgresFixture(bench: Bench, scratch: ScratchDatabase): Promise<Fixture> {
  await scratch.sql(
    'CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL, content text)',
    `INSERT INTO items SELECT i, 'item ' || i, md5(i::text) FROM generate_series(1, 3000) AS i`,
  );
  const script = bench.path('good.sql');
  const custom = bench.path('good.dump');
  const folder = bench.path('folder');
  await scratch.dump(script, '-Fp');
  await scratch.dump(custom, '-Fc');
  await scratch.dump(bench.path('stored.dump'), '-Fc', '-Z0');
  await scratch.dump(folder, '-Fd');
  await scratch.dump(bench.path('format-t.tar'), '-Ft');
  await run('tar', ['-cf', bench.path('good.tar'), '-C', folder, '.']);
  const all = await pgDumpAll(scratch.server);
  const text = readFileSync(script, 'utf8');
  const rows = text.indexOf('COPY public.items');
  const inRows = text.indexOf('\n1500\t') + 12;
  const bad: BadDump[] = [
    ...badForBoth({ script, extension: '.dump' }),
    {
      what: 'a script cut within COPY',
      name: 'cut-copy.sql',
      make: (path) => writeFileSync(path, text.slice(0, inRows)),
      code: /^drop\/truncated$/,
    },
    {
      what: 'a script cut behind a row of COPY',
      name: 'cut-copy-row.sql',
      make: (path) => writeFileSync(path, text.slice(0, text.indexOf('\n', inRows) + 1)),
      code: /^drop\/truncated$/,
    },
    {
      what: 'a compressed script cut within COPY',
      name: 'cut-copy.sql.gz',
      make: (path) => writeFileSync(path, gzipSync(text.slice(0, inRows))),
      code: /^drop\/truncated$/,
    },
    {
      what: 'a script cut before COPY',
      name: 'cut-before.sql',
      make: (path) => writeFileSync(path, text.slice(0, rows)),
      code: /^drop\/truncated$/,
    },
    ...[0.1, 0.5, 0.95].map((part) => ({
      what: `a custom archive cut at ${part}`,
      name: `cut-${part}.dump`,
      make: copyCut(custom, (size) => Math.floor(size * part)),
      code: /^drop\/(truncated|corrupt)$/,
    })),
    {
      what: 'an uncompressed custom archive without its last byte',
      name: 'cut-byte.dump',
      make: copyCut(bench.path('stored.dump'), (size) => size - 1),
      code: /^drop\/(truncated|corrupt)$/,
    },
    {
      what: 'a custom archive with a flipped byte',
      name: 'flipped.dump',
      make: flipped(custom, (content) => Math.floor(content.length * 0.8)),
      code: /^drop\/(corrupt|truncated)$/,
    },
    {
      what: 'a custom archive with a flipped byte in its table of contents',
      name: 'flipped-toc.dump',
      make: flipped(custom, (content) => content.indexOf('items') - 3),
      code: /^drop\/(corrupt|truncated)$/,
    },
    {
      what: 'a tar that is cut',
      name: 'cut.tar',
      make: copyCut(bench.path('good.tar'), half),
      code: /^drop\/(truncated|corrupt)$/,
    },
    {
      what: 'a tar with a flipped byte in its data',
      name: 'flipped.tar',
      make: flipped(
        bench.path('good.tar'),
        (content) => content.indexOf(Buffer.of(0x1f, 0x8b, 8)) + 2000,
      ),
      code: /^drop\/(corrupt|truncated)$/,
    },
    {
      what: 'a tar of something else',
      name: 'other.tar',
      make: async (path) => void (await run('tar', ['-cf', path, '-C', bench.path(), 'good.sql'])),
      code: /^drop\//,
    },
    {
      what: 'a custom archive that is named .sql',
      name: 'archive.sql',
      make: (path) => cpSync(custom, path),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'a custom archive that is named .tar',
      name: 'archive.tar',
      make: (path) => cpSync(custom, path),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'a tar that is named .dump',
      name: 'tar.dump',
      make: (path) => cpSync(bench.path('good.tar'), path),
      code: /^drop\/wrong-extension$/,
    },
    {
      what: 'the output of pg_dumpall',
      name: 'dumpall.sql',
      make: (path) => writeFileSync(path, all),
      code: /^drop\/unsupported-dumpall$/,
    },
    {
      what: 'a script of sqlite3',
      name: 'sqlite.sql',
      make: (path) =>
        writeFileSync(
          path,
          'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a (b);\nCOMMIT;\n',
        ),
      code: /^drop\/wrong-engine$/,
    },
    {
      what: 'a SQLite file',
      name: 'sqlite.db',
      make: (path) => {
        const header = Buffer.alloc(4096);
        header.write('SQLite format 3\0', 'latin1');
        header.writeUInt16BE(4096, 16);
        header.writeUInt32BE(1, 28);
        writeFileSync(path, header);
      },
      code: /^drop\/wrong-engine$/,
    },
  ];
  return {
    environment: { DATABASE_URL: scratch.url },
    bad,
    good: custom,
    fingerprint: () => scratch.fingerprint(),
  };
}

async function pgDumpAll(server: TestServer): Promise<string> {
  const { stdout } = await run(join(server.binDir, 'pg_dumpall'), ['-r', '-d', server.url]);
  return stdout;
}
