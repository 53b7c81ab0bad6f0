import { randomBytes } from 'node:crypto';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { manifestOf } from '../../src/backup/manifest-of.ts';
import { formatArchiveId } from '../../src/core/archive/archive-name.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { unpack } from '../../src/core/archive/unpack.ts';
import type { Rehearsal } from '../../src/core/engines/engine.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { compareScratch } from '../../src/core/engines/postgres/rehearsal/compare.ts';
import { PostgresRehearsalEngine } from '../../src/core/engines/postgres/rehearsal/engine.ts';
import { NotRehearsed } from '../../src/core/engines/postgres/rehearsal/not-rehearsed.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import type { TestServer } from '../support/testbed.ts';
import { BackupBed, never } from './postgres-backup-bed.ts';
import { RestoreBed } from './postgres-restore-bed.ts';

/** A backup of the rich database, and rehearsals of it on servers of the test bed. */
export class RehearsalBed implements AsyncDisposable {
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

  /** `fill`: instead of the rich database's content. */
  static async create(
    server: TestServer,
    jobs: number,
    fill = (source: RestoreBed) => source.fill(source.live),
  ): Promise<RehearsalBed> {
    const source = await RestoreBed.create(server);
    await fill(source);
    const backup = await BackupBed.create(server);
    const engine = backup.engineAs({ database: source.live }, 5000, jobs);
    const request = backup.request();
    const dump = await engine.dump(request, never);
    const readBack = await engine.readBack(request.spool, dump, never);
    const id = formatArchiveId('app', new Date());
    const archiveFile = `${id}${jobs > 1 ? '.tar' : '.dump.zst'}`;
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
    path = this.archive,
  ): Promise<Rehearsal> {
    const manifest = { ...this.manifest, ...change };
    const workFolder = join(this.backup.folder, randomBytes(4).toString('hex'));
    await mkdir(workFolder);
    const { file, sha256 } = manifest.archive;
    const claimed = { path, fileName: file, workFolder, sha256, force: false };
    const archive = await unpack({ ...claimed, manifest }, signal);
    const log = silentLogger();
    const onProgress = () => {};
    return await engine.rehearse(
      { manifest, archive, workFolder, queries, log, onProgress },
      signal,
    );
  }

  /** As of a scratch database that holds just what the source holds. */
  async compare(
    change: Partial<Manifest> = {},
    queries: readonly string[] = [],
  ): Promise<Rehearsal> {
    const manifest = { ...this.manifest, ...change };
    const { connection } = this.backup;
    await using session = await connect(
      { ...connection, database: this.source.live },
      { applicationName: 'test', signal: never, options: { row_security: 'off' } },
    );
    return await compareScratch(
      session,
      { manifest, queries, onProgress: () => {}, notRehearsed: NotRehearsed.nothing },
      never,
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
