import { cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import Database from 'better-sqlite3';
import { type Content, type CrashSite, contentOf, ITEMS, NOTHING } from './site.ts';

/** A SQLite database in the journal mode given, and dumps of both contents. */
export class SqliteSite implements CrashSite {
  readonly name: string;
  readonly side = 'side.db';
  readonly #folder: string;
  readonly #data: string;

  private constructor(folder: string, mode: 'wal' | 'delete') {
    this.name = `SQLite, ${mode} mode`;
    this.#folder = folder;
    this.#data = join(folder, 'data');
  }

  static async create(mode: 'wal' | 'delete'): Promise<SqliteSite> {
    const folder = await mkdtemp(join(tmpdir(), 'dropback-crash-sqlite-'));
    const site = new SqliteSite(folder, mode);
    await mkdir(site.#data);
    fill(site.#live, 'A', mode);
    for (const content of ['A', 'B'] as const) fill(site.dumpOf(content), content, 'delete');
    return site;
  }

  get #live(): string {
    return join(this.#data, 'app.db');
  }

  environment() {
    return { DATABASE_URL: `sqlite:///${this.#live}` };
  }

  dumpOf(content: Content): string {
    return join(this.#folder, `${content}.db`);
  }

  async live(): Promise<string> {
    return (await this.#files()).includes('app.db') ? this.#contentOf('app.db') : NOTHING;
  }

  async kept(): Promise<string[]> {
    const names = (await this.#files()).filter((name) => /dropback_p_[0-9a-f]{16}$/.test(name));
    return Promise.all(names.map((name) => this.#contentOf(name)));
  }

  async sideContent(): Promise<string | undefined> {
    return (await this.#files()).includes(this.side) ? this.#contentOf(this.side) : undefined;
  }

  removeSide(): Promise<void> {
    return this.#remove(this.side);
  }

  removeLive(): Promise<void> {
    return this.#remove('app.db');
  }

  async #remove(name: string): Promise<void> {
    for (const end of ['', '-wal', '-shm', '-journal']) {
      await rm(join(this.#data, `${name}${end}`), { force: true });
    }
  }

  async leftovers(): Promise<string[]> {
    const known =
      /^(app|side)\.db(-wal|-shm)?$|^\.(app|side)\.db\.dropback-lock\.db$|dropback_p_[0-9a-f]{16}$/;
    return (await this.#files()).filter((name) => !known.test(name));
  }

  /** Of a copy with its side files: whoever opens the file itself would change what a daemon finds. */
  async #contentOf(name: string): Promise<string> {
    const copy = await mkdtemp(join(tmpdir(), 'dropback-crash-look-'));
    try {
      const files = (await this.#files()).filter((file) => file.startsWith(name));
      for (const file of files) await cp(join(this.#data, file), join(copy, file));
      return read(join(copy, name));
    } catch (error) {
      return `unreadable: ${error instanceof Error ? error.message : error}`;
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  }

  async #files(): Promise<string[]> {
    return (await readdir(this.#data)).map((name) => basename(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function read(path: string): string {
  const database = new Database(path, { fileMustExist: true });
  try {
    const rows = database.prepare('SELECT v, count(*) AS n FROM items GROUP BY v').all();
    const check = database.pragma('integrity_check', { simple: true });
    return check === 'ok' ? contentOf(rows as { v: string; n: number }[]) : String(check);
  } finally {
    database.close();
  }
}

function fill(path: string, content: Content, mode: 'wal' | 'delete'): void {
  const database = new Database(path);
  database.pragma(`journal_mode = ${mode}`);
  database.exec('CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT NOT NULL, filler TEXT)');
  const insert = database.prepare('INSERT INTO items (v, filler) VALUES (?, ?)');
  database.transaction(() => {
    for (let row = 0; row < ITEMS; row++) insert.run(content, 'x'.repeat(100));
  })();
  database.close();
}
