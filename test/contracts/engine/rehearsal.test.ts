import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import { manifestOf } from '../../../src/backup/manifest-of.ts';
import { formatArchiveId } from '../../../src/core/archive/archive-name.ts';
import { SqliteRehearsalEngine } from '../../../src/core/engines/sqlite/rehearsal/engine.ts';
import { RehearsalBed } from '../../integration/postgres-rehearsal-bed.ts';
import { Site } from '../../integration/sqlite/support.ts';
import { servers, type TestServer } from '../../support/testbed.ts';
import { describeRehearsal, type RehearsalUnderTest } from './rehearsal-contract.ts';

// A scratch database is made and dropped for each, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const never = new AbortController().signal;

async function onPostgres(server: TestServer): Promise<RehearsalUnderTest> {
  const bed = await RehearsalBed.create(server, 1, (source) =>
    source.sql(`CREATE TABLE customer (id int PRIMARY KEY);
      CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customer);
      INSERT INTO customer SELECT generate_series(1, 500);
      INSERT INTO orders (customer) SELECT generate_series(1, 500)`),
  );
  return {
    engine: bed.engine(),
    manifest: bed.manifest,
    archive: bed.archive,
    folder: join(bed.backup.folder, 'rehearsals'),
    queries: {
      right: 'SELECT count(*) = 500 FROM public.orders',
      wrong: 'SELECT count(*) = 7 FROM public.orders',
    },
    content: async () => JSON.stringify(await bed.source.picture(bed.source.live)),
    leftovers: () => bed.leftovers(),
    dispose: () => bed[Symbol.asyncDispose](),
  };
}

async function onSqlite(): Promise<RehearsalUnderTest> {
  const site = new Site();
  site.fill('wal', 200);
  const spool = join(site.backups, 'spool.partial');
  const dump = await site.dump(spool);
  const readBack = await site.backup.readBack(spool, dump, never);
  const id = formatArchiveId('app', new Date());
  const archiveFile = `${id}${(await site.backup.planDump()).archiveExtension}`;
  const archive = join(site.backups, archiveFile);
  await copyFile(spool, archive);
  const own = join(site.root, 'own');
  return {
    engine: new SqliteRehearsalEngine(own),
    manifest: manifestOf({
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
    }),
    archive,
    folder: join(site.root, 'rehearsals'),
    queries: {
      right: 'SELECT count(*) = 200 FROM orders',
      wrong: 'SELECT count(*) = 7 FROM orders',
    },
    content: async () => site.content(),
    leftovers: async () => (await readdir(site.folder)).filter((name) => name.includes('dropback')),
    dispose: async () => site.dispose(),
  };
}

describeRehearsal('SQLite', onSqlite);
const newest = servers.at(-1);
if (newest) describeRehearsal(`PostgreSQL ${newest.major}`, () => onPostgres(newest));
