import Database from 'better-sqlite3';
import { Bench, Daemon } from './daemon.ts';
import type { TestS3 } from './testbed.ts';

/** A small SQLite database and programs beside it; ended and removed on disposal. */
export class SqliteStack implements AsyncDisposable {
  readonly bench: Bench;
  readonly #daemons: Daemon[] = [];

  private constructor(bench: Bench) {
    this.bench = bench;
  }

  static async create(): Promise<SqliteStack> {
    const stack = new SqliteStack(await Bench.create());
    stack.sql('PRAGMA journal_mode = WAL; CREATE TABLE t (i INTEGER)');
    stack.sql('INSERT INTO t VALUES (1), (2), (3)');
    return stack;
  }

  get database(): string {
    return this.bench.path('data', 'app.db');
  }

  sql(text: string): void {
    const db = new Database(this.database);
    db.exec(text);
    db.close();
  }

  /** Of the table `t`, as text: `1,2,3`. */
  rows(path = this.database): string {
    const db = new Database(path);
    const rows = db.prepare('SELECT i FROM t ORDER BY i').pluck().all();
    db.close();
    return rows.join();
  }

  environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    return this.bench.environment({ DATABASE_URL: `sqlite:///${this.database}`, ...extra });
  }

  start(
    program: 'db-backup' | 'db-restore' | 'dropback',
    args: readonly string[] = [],
    extra: Readonly<Record<string, string>> = {},
  ): Daemon {
    const daemon = new Daemon(program, this.environment(extra), args);
    this.#daemons.push(daemon);
    return daemon;
  }

  /** Runs a program to its end. */
  async run(
    program: 'db-backup' | 'dropback',
    args: readonly string[],
    extra: Readonly<Record<string, string>> = {},
  ): Promise<{ code: number | null; output: string }> {
    const daemon = this.start(program, args, extra);
    const { code } = await daemon.exited;
    return { code, output: daemon.output };
  }

  /** db-restore, watching. */
  async restoreDaemon(extra: Readonly<Record<string, string>> = {}): Promise<Daemon> {
    const daemon = this.start('db-restore', [], extra);
    await daemon.says(/watching for drops/);
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) await daemon[Symbol.asyncDispose]();
    await this.bench[Symbol.asyncDispose]();
  }
}

export function s3Environment(s3: TestS3, prefix: string, endpoint = s3.endpoint) {
  return {
    S3_BUCKET: s3.bucket,
    S3_PREFIX: prefix,
    S3_ENDPOINT: endpoint,
    S3_REGION: s3.region,
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
  };
}
