import { readFile } from 'node:fs/promises';
import type { RestoreReport } from '../../src/core/requests/report.ts';
import { ident, RestoreBed } from '../integration/postgres-restore-bed.ts';
import { Bench, Daemon } from './daemon.ts';
import type { TestServer } from './testbed.ts';

export type Filed = RestoreReport & { folder: 'done' | 'failed' };

/** Folders, a live database with its roles, and db-restore beside it; all gone when disposed. */
export class PostgresStack implements AsyncDisposable {
  readonly bed: RestoreBed;
  readonly bench: Bench;
  readonly #daemons: Daemon[] = [];

  private constructor(bed: RestoreBed, bench: Bench) {
    this.bed = bed;
    this.bench = bench;
  }

  static async create(server: TestServer, live?: string): Promise<PostgresStack> {
    return new PostgresStack(await RestoreBed.create(server, live), await Bench.create());
  }

  /** DATABASE_URL of a database as a role; by default the live one as the superuser. */
  url(database = this.bed.live, user = 'postgres'): string {
    const { host, port, password } = this.bed.server;
    const secret = user === 'postgres' ? password : 'pw';
    const login = `${encodeURIComponent(user)}:${encodeURIComponent(secret)}`;
    return `postgresql://${login}@${host}:${port}/${encodeURIComponent(database)}`;
  }

  environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    return this.bench.environment({ DATABASE_URL: this.url(), ...extra });
  }

  /** db-restore, watching. */
  async restoreDaemon(extra: Readonly<Record<string, string>> = {}): Promise<Daemon> {
    const daemon = this.#keep(new Daemon('db-restore', this.environment(extra)));
    await daemon.says(/watching for drops/);
    return daemon;
  }

  /** One backup by db-backup; fails with its log unless it exits with 0. */
  async backup(extra: Readonly<Record<string, string>> = {}): Promise<string> {
    const daemon = this.backupDaemon(['--once'], extra);
    const { code } = await daemon.exited;
    if (code !== 0) throw new Error(`db-backup --once ended with ${code}:\n${daemon.output}`);
    const manifest = (await this.bench.manifests()).at(-1);
    if (!manifest) throw new Error(`nothing is listed:\n${daemon.output}`);
    return this.bench.archivePath(manifest);
  }

  backupDaemon(args: readonly string[], extra: Readonly<Record<string, string>> = {}): Daemon {
    return this.#keep(new Daemon('db-backup', this.environment(extra), args));
  }

  cli(args: readonly string[], extra: Readonly<Record<string, string>> = {}): Daemon {
    return this.#keep(new Daemon('dropback', this.environment(extra), args));
  }

  /** Drops a file and waits for its report. */
  async dropped(daemon: Daemon, path: string, name?: string): Promise<Filed> {
    const as = name ?? path.split('/').at(-1) ?? '';
    await this.bench.drop(path, as);
    return await this.filed(daemon, as);
  }

  async filed(daemon: Daemon, name: string): Promise<Filed> {
    return await daemon.until(`a report on ${name}`, () => this.bench.report(name), 180_000);
  }

  /** As `dropped`, and fails with the report unless it was restored. */
  async restored(daemon: Daemon, path: string, name?: string): Promise<Filed> {
    const report = await this.dropped(daemon, path, name);
    if (report.outcome === 'restored') return report;
    throw new Error(`${report.outcome}: ${JSON.stringify(report, null, 1)}\n${daemon.output}`);
  }

  #keep(daemon: Daemon): Daemon {
    this.#daemons.push(daemon);
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) await daemon[Symbol.asyncDispose]();
    await this.#dropDatabases();
    await this.bed[Symbol.asyncDispose]();
    await this.bench[Symbol.asyncDispose]();
  }

  /** What the daemons have made: kept databases by their records, everything of the bed's roles. */
  async #dropDatabases(): Promise<void> {
    const kept = await Promise.all(
      (await this.bench.files('restore', 'previous')).map(async (file) =>
        readFile(this.bench.path('restore', 'previous', file), 'utf8'),
      ),
    );
    const names = kept.flatMap((text) => text.match(/dropback_p_[0-9a-f]{16}/g) ?? []);
    const rows = await this.bed.admin.query<{ name: string }>(
      `SELECT datname AS name FROM pg_database
        WHERE datname = ANY ($1::text[]) OR pg_get_userbyid(datdba) LIKE $2
           OR shobj_description(oid, 'pg_database') LIKE $3`,
      [names, `test_%_${this.bed.id}`, `dropback: % ${JSON.stringify(this.bed.live)}`],
    );
    for (const { name } of rows) {
      await this.bed.admin.query(`ALTER DATABASE ${ident(name)} IS_TEMPLATE false`);
      await this.bed.admin.query(`DROP DATABASE IF EXISTS ${ident(name)} WITH (FORCE)`);
    }
  }
}
