import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { unpack } from '../../../src/core/archive/unpack.ts';
import type { UnpackedDrop } from '../../../src/core/archive/unpacked.ts';
import type { Dump, RestoreState, StepContext } from '../../../src/core/engines/engine.ts';
import { SqliteBackupEngine } from '../../../src/core/engines/sqlite/backup-engine.ts';
import { SqliteRestoreEngine } from '../../../src/core/engines/sqlite/restore-engine.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { capture } from '../../../src/core/runtime/process/pipeline.ts';
import type { AgeKey } from '../../support/age.ts';
import { sampleManifest } from '../../support/backups.ts';

export const never = new AbortController().signal;

export type Mode = 'wal' | 'delete';

/** A database of its own, in a folder of its own, with engines on it. */
export class Site {
  readonly root = mkdtempSync(join(tmpdir(), 'dropback-sqlite-'));
  readonly folder = join(this.root, 'data');
  readonly path = join(this.folder, 'app.db');
  readonly backups = join(this.root, 'backups');
  readonly work = join(this.root, 'work');
  readonly saved: RestoreState[] = [];
  readonly backup: SqliteBackupEngine;
  readonly restore: SqliteRestoreEngine;
  readonly context: StepContext;
  readonly #key: AgeKey | undefined;

  constructor({ key }: { readonly key?: AgeKey } = {}) {
    this.#key = key;
    for (const folder of [this.folder, this.backups, this.work]) mkdirSync(folder);
    const database = { kind: 'sqlite', path: this.path } as const;
    const options = { database, log: silentLogger(), clock: systemClock };
    const recipients = key ? [key.recipient] : [];
    this.backup = new SqliteBackupEngine({ ...options, recipients });
    this.restore = new SqliteRestoreEngine(options);
    this.context = {
      signal: never,
      log: silentLogger(),
      progress: () => {},
      save: async (state) => {
        this.saved.push(JSON.parse(JSON.stringify(state)));
      },
    };
  }

  get state(): RestoreState {
    return this.saved.at(-1) as RestoreState;
  }

  fill(mode: Mode, rows = 500): void {
    fill(this.path, mode, rows);
  }

  dump(spool = join(this.backups, 'spool.partial'), signal = never): Promise<Dump> {
    rmSync(spool, { force: true });
    return this.backup.dump(
      {
        spool,
        compressionLevel: 3,
        excludeTableData: [],
        rowCounts: 'exact',
        nice: 0,
        log: silentLogger(),
      },
      signal,
    );
  }

  /** Dumps and unpacks: a file of ours as it comes back. */
  async dropOfOwn(trusted = true): Promise<UnpackedDrop> {
    const dump = await this.dump();
    return this.unpack(join(this.backups, 'spool.partial'), dump, trusted);
  }

  async unpack(archive: string, dump: Dump, trusted: boolean): Promise<UnpackedDrop> {
    const path = join(this.work, 'content');
    if (this.#key) await this.#decrypt(archive);
    else {
      const args = ['-qdf', '-o', path, '--', archive];
      await capture({ name: 'zstd', file: '/usr/bin/zstd', args }, { signal: never });
    }
    const manifest = {
      ...sampleManifest(readFileSync(archive)),
      engine: 'sqlite' as const,
      tables: dump.tables,
      database: dump.database,
    };
    return this.drop(path, trusted ? { manifest } : {});
  }

  async #decrypt(path: string): Promise<void> {
    const request = { path, fileName: 'x.db.zst.age', workFolder: this.work, sha256: '' };
    await unpack({ ...request, force: false, identity: this.#key?.identity }, never);
  }

  drop(path: string, extra: Partial<UnpackedDrop> = {}): UnpackedDrop {
    return {
      fileName: basename(path),
      format: 'sqlite-file',
      path,
      contentBytes: statSync(path).size,
      sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
      force: false,
      ...extra,
    };
  }

  /** inspect → plan → stage → check. */
  async staged(drop: UnpackedDrop): Promise<RestoreState> {
    const inspection = await this.restore.inspect(drop, this.context);
    const plan = await this.restore.plan(inspection, { kind: 'live' }, this.context);
    const state = await this.restore.stage(plan, drop, inspection, this.context);
    await this.restore.check(state, inspection, this.context);
    return state;
  }

  async swapped(drop: UnpackedDrop) {
    const result = await this.restore.swap(await this.staged(drop), this.context);
    await this.restore.finish(this.state, this.context);
    return result;
  }

  /** Files beside the database that are ours. */
  leftovers(): string[] {
    return [this.folder, this.backups]
      .flatMap((folder) => readdirSync(folder))
      .filter((name) => name.includes('.dropback_'))
      .sort();
  }

  content(path = this.path): string {
    return contentOf(path);
  }

  change(): void {
    const database = new Database(this.path);
    database.exec('DELETE FROM orders WHERE id % 3 = 0; UPDATE customer SET name = name || name');
    database.exec('CREATE TABLE added (x); INSERT INTO added VALUES (1)');
    database.close();
  }

  mode(path = this.path): string {
    return readFileSync(path)[18] === 2 ? 'wal' : 'delete';
  }

  give(uid: number): void {
    chmodSync(this.root, 0o755);
    for (const path of [
      this.folder,
      ...readdirSync(this.folder).map((n) => join(this.folder, n)),
    ]) {
      chownSync(path, uid, uid);
    }
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

export function fill(path: string, mode: Mode, rows: number): void {
  const database = new Database(path);
  database.pragma(`journal_mode = ${mode}`);
  database.exec(`
    CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer, note TEXT, raw BLOB);
    CREATE INDEX orders_customer ON orders (customer);
    CREATE TABLE "naïve ""table""; --" (a, b, PRIMARY KEY (a)) WITHOUT ROWID;
    INSERT INTO "naïve ""table""; --" VALUES ('x;y', 'it''s -- a "text"'), ('a' || char(10) || 'b', NULL);
    CREATE VIRTUAL TABLE search USING fts5(body);
    INSERT INTO search VALUES ('hello world'), ('more; words');
    CREATE TABLE log (line TEXT);
    CREATE TRIGGER noted AFTER UPDATE ON orders BEGIN
      INSERT INTO log VALUES (CASE WHEN new.id > 1 THEN 'a' ELSE 'b' END); DELETE FROM log WHERE 0;
    END;
    CREATE VIEW busy AS SELECT customer, count(*) AS n FROM orders GROUP BY customer;
    PRAGMA user_version = 7;
  `);
  database.exec('BEGIN');
  const customer = database.prepare('INSERT INTO customer (name) VALUES (?)');
  const order = database.prepare('INSERT INTO orders VALUES (?, ?, ?, ?)');
  for (let id = 1; id <= rows; id++) {
    customer.run(`çustomer ${id}`);
    order.run(id, id, `note ${id} 'quoted'; -- not a comment`, Buffer.alloc(200, id));
  }
  database.exec('COMMIT');
  database.close();
}

/** Schema and every row, in order, without opening the file itself for writing. */
export function contentOf(path: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'dropback-look-'));
  const copy = join(folder, 'copy.db');
  for (const suffix of ['', '-wal']) {
    if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
  }
  const database = new Database(copy);
  try {
    const schema = database
      .prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY type, name')
      .all() as { type: string; name: string; sql: string | null }[];
    const hash = createHash('sha256').update(JSON.stringify(schema));
    hash.update(String(database.pragma('user_version', { simple: true })));
    for (const { type, name } of schema) {
      if (type !== 'table' || name.startsWith('sqlite_stat')) continue;
      const rows = database.prepare(`SELECT * FROM "${name.replaceAll('"', '""')}"`).raw();
      for (const row of rows.iterate()) hash.update(`${name}${JSON.stringify(row)}`);
    }
    return hash.digest('hex');
  } finally {
    database.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const APP = fileURLToPath(new URL('./application.mjs', import.meta.url));

/** An application process that has the database open and may write to it every few milliseconds. */
export class ApplicationProcess implements AsyncDisposable {
  readonly #child;
  #lines = '';

  constructor(path: string, options: { everyMs: number; uid?: number }) {
    const args = [APP, path, String(options.everyMs)];
    const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
    this.#child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      ...identity,
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#lines += text;
    });
  }

  async started(): Promise<this> {
    while (!this.#lines.includes('open\n')) await once(this.#child.stdout, 'data');
    return this;
  }

  /** Ends it; what it says of its writes: committed, and failed with what. */
  async end(): Promise<{ written: number; failures: string[] }> {
    if (this.#child.exitCode === null) {
      this.#child.stdin.end();
      await once(this.#child, 'close');
    }
    return JSON.parse(this.#lines.trim().split('\n').at(-1) ?? '{}');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

/** Whether another user may run this clone at all (one below /root can't be). */
export async function canRunAs(uid: number): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const child = spawn(process.execPath, [APP, '--version'], { uid, gid: uid, stdio: 'ignore' });
  const [code] = await Promise.race([
    once(child, 'close'),
    once(child, 'error').then(() => [1]),
  ]).catch(() => [1]);
  return code === 0;
}
