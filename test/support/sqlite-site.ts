import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { Bench } from './daemon.ts';

const run = promisify(execFile);

export type Mode = 'wal' | 'delete';
export const isRoot = process.getuid?.() === 0;
/** The application's user: another one than the daemons', where that can be had. */
export const user = isRoot ? 5001 : (process.getuid?.() ?? 0);
export const writerScript = fileURLToPath(new URL('./sqlite-writer.mjs', import.meta.url));

const samples =
  process.env['DROPBACK_SAMPLES'] ??
  fileURLToPath(new URL('../../../shared/samples', import.meta.url));
export const chinook = [join(samples, 'chinook.sqlite')].filter((path) => existsSync(path));

/** A database of an application that runs as another user, and the folders of the daemons. */
export class SqliteSite implements AsyncDisposable {
  readonly bench: Bench;
  readonly path: string;

  private constructor(bench: Bench) {
    this.bench = bench;
    this.path = bench.path('data', 'app.db');
  }

  /** `source`: a database file to begin with, or nothing for one of our own. */
  static async create(mode: Mode, source?: string): Promise<SqliteSite> {
    const bench = await Bench.create();
    const site = new SqliteSite(bench);
    chmodSync(bench.folder, 0o755);
    if (source === undefined) buildRichDatabase(site.path);
    else {
      copyFileSync(source, site.path);
      chmodSync(site.path, 0o600);
    }
    const database = new Database(site.path);
    database.pragma(`journal_mode = ${mode}`);
    database.close();
    chmodSync(site.path, 0o640);
    for (const path of [bench.path('data'), site.path]) if (isRoot) chownSync(path, user, user);
    return site;
  }

  get environment(): Record<string, string> {
    return this.bench.environment({ DATABASE_URL: `sqlite:///${this.path}` });
  }

  /** The sqlite3 program, as the application's user. */
  async sqlite3(...args: string[]): Promise<string> {
    return await sqlite3AsUser(this.path, ...args);
  }

  /** Everything in it, as text. */
  async dump(): Promise<string> {
    return await this.sqlite3('.dump');
  }

  /** Files in the application's folder whose owner is somebody else. */
  foreignFiles(): string[] {
    const folder = this.bench.path('data');
    return readdirSync(folder).filter((name) => statSync(join(folder, name)).uid !== user);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.bench[Symbol.asyncDispose]();
  }
}

export async function sqlite3AsUser(path: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('sqlite3', [path, ...args], {
    maxBuffer: 256 * 1024 * 1024,
    ...(isRoot ? { uid: user, gid: user } : {}),
  });
  return stdout;
}

/** The application as a process: writes a hundred times a second. */
export class Writer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];

  private constructor(path: string) {
    this.#child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', writerScript, path],
      { stdio: ['ignore', 'pipe', 'inherit'], ...(isRoot ? { uid: user, gid: user } : {}) },
    );
  }

  static async start(path: string): Promise<Writer> {
    const writer = new Writer(path);
    const stdout = writer.#child.stdout;
    if (!stdout) throw new Error('no output');
    const lines = createInterface({ input: stdout });
    lines.on('line', (line) => writer.#lines.push(line));
    await once(lines, 'line');
    return writer;
  }

  async stop(): Promise<{ written: number; failures: string[] }> {
    this.#child.kill('SIGTERM');
    await once(this.#child, 'close');
    return JSON.parse(this.#lines.at(-1) ?? '{}');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'close');
  }
}

/** Whatever SQLite has that a copy could lose. */
function buildRichDatabase(path: string): void {
  const database = new Database(path);
  database.exec(`
    PRAGMA foreign_keys = ON;
    CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL COLLATE NOCASE,
      city TEXT, born REAL, photo BLOB, CHECK (length(name) > 0));
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers
      ON DELETE CASCADE, cents INTEGER NOT NULL, gross INTEGER GENERATED ALWAYS AS (cents * 119 / 100));
    CREATE TABLE settings (scope TEXT, key TEXT, value ANY, PRIMARY KEY (scope, key)) WITHOUT ROWID;
    CREATE TABLE "odd ""name""; --" ("select" TEXT, [a b] TEXT, 'ключ' TEXT);
    CREATE TABLE log (at TEXT, what TEXT) STRICT;
    CREATE INDEX orders_large ON orders (cents DESC) WHERE cents > 500;
    CREATE INDEX customers_lower ON customers (lower(name));
    CREATE VIEW totals AS SELECT customer, sum(gross) AS gross FROM orders GROUP BY customer;
    CREATE TRIGGER orders_logged AFTER INSERT ON orders WHEN new.cents > 900 BEGIN
      INSERT INTO log VALUES (datetime('2026-11-22'), 'large; order'); END;`);
  const customer = database.prepare(
    'INSERT INTO customers (name, city, born, photo) VALUES (?, ?, ?, ?)',
  );
  const order = database.prepare('INSERT INTO orders (customer, cents) VALUES (?, ?)');
  const cities = ['Zürich', "L'Aquila", '東京', 'a;b\n--c', null];
  database.transaction(() => {
    for (let i = 0; i < 800; i++) {
      const photo = Buffer.from(Array.from({ length: 200 }, (_, at) => (at * i) % 256));
      customer.run(`Customer ${i}`, cities[i % cities.length], 1900 + i / 7, photo);
    }
    for (let i = 0; i < 3000; i++) order.run(1 + ((i * 7) % 800), (i * 37) % 1000);
    database.exec(`
      INSERT INTO settings VALUES ('a', 'b', 1.5), ('a', 'c', 'text'), ('b', 'b', x'00ff');
      INSERT INTO "odd ""name""; --" VALUES ('x', 'y''z', 'ж'), (NULL, '', char(10));
      DELETE FROM customers WHERE id > 790;
      PRAGMA user_version = 42; PRAGMA application_id = 4711;`);
  })();
  database.close();
}
