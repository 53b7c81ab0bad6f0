// `npm run demo`: the main job on a real SQLite database, with the real daemons; no server, no
// Docker. Everything happens in a temporary folder that is removed at the end. Exits non-zero
// unless the rows are equal before and after.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { root } from './setup.mjs';

const colour = process.stdout.isTTY;
const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
const bold = (text: string) => paint(1, text);
const dim = (text: string) => paint(2, text);

let stepNumber = 0;
function step(title: string): void {
  stepNumber += 1;
  console.log(`\n${bold(`${stepNumber}. ${title}`)}`);
}
function say(text: string): void {
  console.log(`   ${text}`);
}

function createShop(path: string): void {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.exec(`
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers,
      placed TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents > 0));
    CREATE TABLE lines (id INTEGER PRIMARY KEY, "order" INTEGER NOT NULL REFERENCES orders,
      article TEXT NOT NULL, amount INTEGER NOT NULL);
    CREATE INDEX orders_by_customer ON orders (customer);`);
  const cities = ['Zürich', 'São Paulo', '東京', 'Nairobi', 'Oslo'];
  const customer = db.prepare('INSERT INTO customers (name, city) VALUES (?, ?)');
  const order = db.prepare('INSERT INTO orders (customer, placed, cents) VALUES (?, ?, ?)');
  const line = db.prepare('INSERT INTO lines ("order", article, amount) VALUES (?, ?, ?)');
  db.transaction(() => {
    for (let i = 0; i < 500; i++) customer.run(`Customer ${i}`, cities[i % cities.length]);
    for (let i = 0; i < 3000; i++) {
      order.run(
        1 + ((i * 7) % 500),
        new Date(1.7e12 + i * 6e5).toISOString(),
        100 + ((i * 37) % 9000),
      );
    }
    for (let i = 0; i < 8000; i++) line.run(1 + (i % 3000), `article ${i % 97}`, 1 + (i % 5));
  })();
  db.close();
}

const tables = ['customers', 'orders', 'lines'] as const;

interface Contents {
  readonly counts: Record<string, number | string>;
  readonly digest: string;
}

function contentsOf(path: string): Contents {
  const db = new Database(path);
  const hash = createHash('sha256');
  const counts: Record<string, number | string> = {};
  for (const table of tables) {
    const exists = db
      .prepare("SELECT 1 FROM sqlite_master WHERE type='table' AND name=?")
      .get(table);
    const rows = exists ? db.prepare(`SELECT * FROM ${table} ORDER BY id`).all() : undefined;
    counts[table] = rows?.length ?? 'gone';
    hash.update(JSON.stringify([table, rows ?? null]));
  }
  db.close();
  return { counts, digest: hash.digest('hex') };
}

function tell(contents: Contents): void {
  const counts = tables.map((table) => `${table}: ${contents.counts[table]}`).join(', ');
  say(`${counts}  ${dim(`sha256 of all rows ${contents.digest.slice(0, 12)}…`)}`);
}

class Daemon {
  static readonly running = new Set<ChildProcess>();
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  #isRunning = true;

  constructor(program: string, environment: Record<string, string>) {
    this.#child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(root, 'src', 'bin', `${program}.ts`)],
      {
        env: { PATH: process.env['PATH'] ?? '', LOG_FORMAT: 'text', ...environment },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    Daemon.running.add(this.#child);
    let rest = '';
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) console.log(`   ${dim(`│ ${line}`)}`);
    });
    this.#exited = new Promise((resolve) =>
      this.#child.once('exit', (code) => {
        this.#isRunning = false;
        Daemon.running.delete(this.#child);
        resolve(code);
      }),
    );
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#exited;
  }
}

async function waitFor<T>(
  what: string,
  daemon: Daemon,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = Date.now() + 120_000;
  while (Date.now() < deadline && daemon.isRunning) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(50);
  }
  throw new Error(`${what} did not happen: the lines above say why`);
}

async function filesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

async function demo(folder: string): Promise<boolean> {
  const database = join(folder, 'data', 'shop.db');
  const backups = join(folder, 'backups');
  const incoming = join(folder, 'restore', 'incoming');
  await mkdir(join(folder, 'data'));
  const environment = {
    DATABASE_URL: `sqlite:///${database}`,
    BACKUP_NAME: 'shop',
    BACKUP_DIR: backups,
    BACKUP_INTERVAL_SECONDS: '3600',
    RESTORE_WATCH_DIR: incoming,
    RESTORE_STATE_FILE: join(folder, 'restore', 'state.json'),
    RESTORE_POLL_INTERVAL: '1',
    HEALTH_PORT: '0',
  };

  step('A shop keeps its data in SQLite');
  createShop(database);
  const before = contentsOf(database);
  tell(before);

  step('db-backup starts, and makes a backup at once, because there is none yet');
  const backupDaemon = new Daemon('db-backup', environment);
  let archive: string;
  try {
    const stem = await waitFor('a backup', backupDaemon, async () => {
      const manifest = (await filesIn(join(backups, 'shop'))).find((name) => /Z\.json$/.test(name));
      return manifest?.replace(/\.json$/, '');
    });
    const file = (await filesIn(join(backups, 'shop'))).find((name) =>
      name.startsWith(`${stem}.db`),
    );
    if (!file) throw new Error('a manifest is listed without its archive');
    archive = join(backups, 'shop', file);
  } finally {
    await backupDaemon.stop();
  }
  say(`listed: ${archive.slice(folder.length + 1)}`);

  step('Somebody destroys the data');
  const db = new Database(database);
  db.exec('DROP TABLE lines; DELETE FROM orders WHERE id % 3 > 0');
  db.close();
  tell(contentsOf(database));

  step('db-restore watches a folder; the backup is dropped into it');
  const restoreDaemon = new Daemon('db-restore', environment);
  try {
    await waitFor('the drop folder', restoreDaemon, async () =>
      (await filesIn(join(folder, 'restore'))).includes('incoming') ? true : undefined,
    );
    const name = archive.slice(archive.lastIndexOf('/') + 1);
    // As any transfer should: under a temporary name first, then renamed.
    await copyFile(archive, join(incoming, `.${name}.part`));
    await rename(join(incoming, `.${name}.part`), join(incoming, name));
    const report = await waitFor('the restore', restoreDaemon, async () => {
      for (const outcome of ['done', 'failed']) {
        const reports = await filesIn(join(folder, 'restore', outcome));
        const found = reports.find((file) => file.endsWith('.report.json'));
        if (found) {
          const text = await readFile(join(folder, 'restore', outcome, found), 'utf8');
          return { folder: outcome, ...(JSON.parse(text) as { durationMs: number }) };
        }
      }
      return undefined;
    });
    say(`the drop is in ${report.folder}/ now, with a report: ${report.durationMs} ms in all`);
  } finally {
    await restoreDaemon.stop();
  }

  step('The rows are back');
  const after = contentsOf(database);
  tell(after);
  return after.digest === before.digest;
}

const folder = await mkdtemp(join(tmpdir(), 'dropback-demo-')).catch((error: Error) => {
  console.error(`no folder can be made in ${tmpdir()}: ${error.message}`);
  console.error('set TMPDIR to a folder that you may write to.');
  process.exit(1);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of Daemon.running) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.exit(130);
  });
}
let equal = false;
try {
  equal = await demo(folder);
} catch (error) {
  console.error(`\n${error instanceof Error ? error.message : String(error)}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(
  equal
    ? `\n${paint(32, bold('equal before and after: the backup was good, and the restore too.'))}`
    : `\n${paint(31, bold('NOT equal before and after.'))}`,
);
process.exit(equal ? 0 : 1);
