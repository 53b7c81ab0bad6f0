import { randomBytes } from 'node:crypto';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { manifestOf } from '../../src/backup/manifest-of.ts';
import { verdictOf } from '../../src/backup/verify/verdict.ts';
import { formatArchiveId } from '../../src/core/archive/archive-name.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { unpack } from '../../src/core/archive/unpack.ts';
import type { Rehearsal } from '../../src/core/engines/engine.ts';
import { PostgresRehearsalEngine } from '../../src/core/engines/postgres/rehearsal/engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { failureOf } from '../support/failure.ts';
import { servers, type TestServer } from '../support/testbed.ts';
import { BackupBed, never } from './postgres-backup-bed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

/** A backup of the rich database, and rehearsals of it on servers of the test bed. */
class RehearsalBed implements AsyncDisposable {
  readonly source: RestoreBed;
  readonly backup: BackupBed;
  readonly archive: string;
  readonly manifest: Manifest;
  /** What marks our own things on the server. */
  readonly name = `test-${randomBytes(6).toString('hex')}`;

  private constructor(source: RestoreBed, backup: BackupBed, archive: string, manifest: Manifest) {
    this.source = source;
    this.backup = backup;
    this.archive = archive;
    this.manifest = manifest;
  }

  static async create(server: TestServer, jobs: number): Promise<RehearsalBed> {
    const source = await RestoreBed.create(server);
    await source.fill(source.live);
    const backup = await BackupBed.create(server);
    const engine = backup.engineAs({ database: source.live }, 5000, jobs);
    const request = backup.request();
    const dump = await engine.dump(request, never);
    const readBack = await engine.readBack(request.spool, dump, never);
    const id = formatArchiveId('app', new Date());
    const archiveFile = `${id}${engine.archiveExtension}`;
    const archive = join(backup.folder, archiveFile);
    await copyFile(request.spool, archive);
    const manifest = manifestOf({
      id,
      name: 'app',
      engine: 'postgres',
      archiveFile,
      dump,
      readBack,
      rowCounts: 'exact',
      excludedTableData: [],
      finishedAt: new Date(),
      version: 'test',
    });
    return new RehearsalBed(source, backup, archive, manifest);
  }

  engine(change: Partial<typeof this.backup.connection> = {}, jobs = 1): PostgresRehearsalEngine {
    return new PostgresRehearsalEngine({
      connection: { ...this.backup.connection, database: 'postgres', ...change },
      name: this.name,
      jobs,
      clock: systemClock,
      log: silentLogger(),
    });
  }

  async rehearse(
    change: Partial<Manifest> = {},
    queries: readonly string[] = [],
    engine = this.engine(),
    signal = never,
  ): Promise<Rehearsal> {
    const manifest = { ...this.manifest, ...change };
    const workFolder = join(this.backup.folder, randomBytes(4).toString('hex'));
    await mkdir(workFolder);
    const { file, sha256 } = manifest.archive;
    const claimed = { path: this.archive, fileName: file, workFolder, sha256, force: false };
    const archive = await unpack({ ...claimed, manifest }, signal);
    const log = silentLogger();
    const onProgress = () => {};
    return await engine.rehearse(
      { manifest, archive, workFolder, queries, log, onProgress },
      signal,
    );
  }

  /** Of rehearsals of this test: databases and roles on the server. */
  async leftovers(): Promise<string[]> {
    const rows = await this.backup.admin.query<{ name: string }>(
      `SELECT datname AS name FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE $1
       UNION ALL
       SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE $1`,
      [`%${this.name}%`],
    );
    return rows.map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine().sweep(silentLogger(), never);
    await this.backup[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
  }
}

const rows = (change: (rows: number) => number, { tables }: Manifest) => {
  const largest = tables.toSorted((a, b) => b.rows - a.rows)[0];
  return tables.map((table) =>
    table === largest ? { ...table, rows: change(table.rows) } : table,
  );
};

describe.each(servers)('rehearsals on PostgreSQL $version', (server) => {
  let bed: RehearsalBed;
  beforeAll(async () => {
    bed = await RehearsalBed.create(server, server.major === 15 ? 2 : 1);
  }, 120_000);
  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]();
  }, 60_000);

  test('a backup restores: every row counted, sequences, queries; nothing is left', async () => {
    const found = await bed.rehearse({}, ['SELECT true', 'SELECT count(*) >= 0 FROM pg_class']);
    expect(found.tables).toEqual(bed.manifest.tables);
    expect(found.tables.length).toBeGreaterThan(3);
    expect(await bed.leftovers()).toEqual([]);
  });

  test('rows that are missing, or too many, are found', async () => {
    for (const change of [1, -1]) {
      const tables = rows((count) => count + change, bed.manifest);
      const error = await failureOf(bed.rehearse({ tables }));
      expect(error.code).toBe('restore/rows-differ');
      expect(verdictOf(error)).toBe('failed');
    }
    expect(await bed.leftovers()).toEqual([]);
  });
});
