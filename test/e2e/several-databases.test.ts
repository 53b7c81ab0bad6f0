import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, test, vi } from 'vitest';
import {
  type BackupStatus,
  ownFolder,
  readBackupStatus,
} from '../../src/core/requests/backup-status.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { dropName } from '../support/drop-name.ts';
import { ScratchDatabase } from '../support/scratch-database.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { servers } from '../support/testbed.ts';

vi.setConfig({ testTimeout: 300_000 });

const [server] = servers;
const LONG_MS = 120_000;

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly notLive?: string[]; readonly notReady?: string[] } & {
    readonly databases: Record<string, BackupStatus>;
  };
}

async function ask(port: number, path: string): Promise<Answer | undefined> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: answer.status, body: (await answer.json()) as Answer['body'] };
  } catch {
    return undefined;
  }
}

function rowsOf(path: string): number[] {
  const database = new Database(path, { readonly: true });
  try {
    return database.prepare('SELECT i FROM t ORDER BY i').pluck().all() as number[];
  } finally {
    database.close();
  }
}

/** Two databases of PostgreSQL, one of them behind a proxy that is closed, and a file. */
async function threeDatabases() {
  if (!server) throw new Error('no server of PostgreSQL');
  const bench = await Bench.create();
  const shop = await ScratchDatabase.create(server, 'several_shop');
  const crm = await ScratchDatabase.create(server, 'several_crm');
  const proxy = await TcpProxy.reserve(server);
  const notes = bench.path('data', 'notes.db');
  const file = new Database(notes);
  file.exec('PRAGMA journal_mode=WAL; CREATE TABLE t (i int); INSERT INTO t VALUES (1)');
  file.close();
  for (const one of [shop, crm]) {
    await one.sql('CREATE TABLE t (i int)', 'INSERT INTO t VALUES (1)');
  }
  await writeFile(
    bench.path('databases.yml'),
    `shop:
  DATABASE_URL_FILE: ${bench.path('shop-url')}
  BACKUP_INTERVAL_SECONDS: 4
crm:
  DATABASE_URL: ${crm.urlAt('127.0.0.1', proxy.port)}
notes: { DATABASE_URL: "sqlite:///${notes}", RESTORE_KEEP_PREVIOUS_HOURS: 1 }
`,
  );
  await writeFile(bench.path('shop-url'), `${shop.url}\n`);
  const { BACKUP_NAME: _name, ...shared } = bench.environment({
    DATABASES_FILE: bench.path('databases.yml'),
    POSTGRES_HOST: 'of-the-stack',
    PUID: String(process.getuid?.() ?? 1000),
  });
  return {
    bench,
    shop,
    crm,
    notes,
    proxy,
    environment: { ...shared, HEALTH_PORT: String(await freePort()) },
    /** Rows of shop, crm and notes. */
    async rows() {
      const query = "SELECT string_agg(i::text, ',' ORDER BY i) FROM t";
      return [await shop.sql(query), await crm.sql(query), rowsOf(notes).join()];
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await shop[Symbol.asyncDispose]();
      await crm[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

async function reportIn(bench: Bench, ...parts: string[]) {
  const folder = bench.path('restore', ...parts);
  const file = (await bench.files('restore', ...parts)).find((one) => one.endsWith('.report.json'));
  return file && JSON.parse(await readFile(join(folder, file), 'utf8'));
}

test('two databases of PostgreSQL and a file: folders, schedules, health and drops of their own', async () => {
  await using stack = await threeDatabases();
  const { bench, proxy, environment } = stack;
  const port = Number(environment.HEALTH_PORT);
  const newestOf = async (name: string) => (await bench.manifests(name)).at(-1);
  {
    await using backup = new Daemon('db-backup', environment);
    // One is down: the others are backed up, each on its own schedule, and health says which.
    await backup.until('two of shop', async () => (await bench.manifests('shop'))[1], LONG_MS);
    await backup.until('one of notes', () => newestOf('notes'), LONG_MS);
    expect(await bench.manifests('crm')).toEqual([]);
    await backup.until(
      'crm alone not ready',
      async () => {
        const answer = await ask(port, '/readyz');
        return answer?.status === 503 && answer.body.notReady?.join() === 'crm' ? true : undefined;
      },
      LONG_MS,
    );
    const { databases } = (await ask(port, '/status'))?.body ?? { databases: {} };
    expect(databases['crm']).toMatchObject({ state: 'waiting for the database' });
    // Noted while it waits: a thousand that wait must not all write it when they are asked to end.
    const noted = await readBackupStatus(ownFolder(bench.path('backups'), 'crm'));
    expect(noted?.state).toBe('waiting for the database');
    expect(databases['notes']).toMatchObject({ state: 'idle', failuresSinceGood: 0 });

    await proxy.open();
    await backup.until('one of crm', () => newestOf('crm'), LONG_MS);
    await backup.until(
      'all ready',
      async () => ((await ask(port, '/readyz'))?.status === 200 ? true : undefined),
      LONG_MS,
    );
    expect(await bench.manifests('notes')).toHaveLength(1);
    expect(await backup.stop()).toEqual({ code: 0, signal: null });
    const ofNotes = backup.lines.filter((line) => line.includes('"db":"notes"'));
    expect(ofNotes.join('\n')).toContain('backup listed');
    expect(ofNotes.join('\n')).not.toContain('several_shop');
  }

  await stack.shop.sql('INSERT INTO t VALUES (2)');
  await stack.crm.sql('INSERT INTO t VALUES (2)');
  const file = new Database(stack.notes);
  file.exec('INSERT INTO t VALUES (2)');
  file.close();
  const archives = await Promise.all(['shop', 'crm', 'notes'].map(newestOf));
  const [ofShop, ofCrm, ofNotes] = archives.map((one) => (one ? bench.archivePath(one) : ''));
  if (!ofShop || !ofCrm || !ofNotes) throw new Error('a backup is missing');

  await using restore = new Daemon('db-restore', environment);
  await restore.until(
    'all ready',
    async () => ((await ask(port, '/readyz'))?.status === 200 ? true : undefined),
    LONG_MS,
  );
  // What is dropped for one touches only that one.
  await bench.drop(ofShop, dropName('back', ofShop), 'shop');
  const done = await restore.until('shop', () => reportIn(bench, 'done', 'shop'), LONG_MS);
  expect(done).toMatchObject({ outcome: 'restored', source: dropName('back', ofShop) });
  expect(await stack.rows()).toEqual(['1', '1,2', '1,2']);

  // For nobody knows whom: refused, with the folders named.
  await bench.drop(ofNotes, 'stray.db.zst');
  const stray = await restore.until('stray', () => reportIn(bench, 'failed'), LONG_MS);
  expect(stray).toMatchObject({ outcome: 'refused', error: { code: 'drop/misplaced' } });
  expect(stray.error.hint).toContain(bench.path('restore', 'incoming', 'notes'));
  expect(await bench.files('restore', 'failed')).toContain('stray.db.zst');

  // One is down: its drop waits, another's is restored, and health says which.
  await proxy.close();
  await bench.drop(ofCrm, dropName('later', ofCrm), 'crm');
  await restore.until(
    'crm alone not live',
    async () => {
      const answer = await ask(port, '/healthz');
      return answer?.status === 503 && answer.body.notLive?.join() === 'crm' ? true : undefined;
    },
    LONG_MS,
  );
  const asked = await dropback(environment, 'restore', 'latest', '--database', 'notes');
  expect(asked.code, asked.output).toBe(0);
  expect(await stack.rows()).toEqual(['1', '1,2', '1']);
  await proxy.open();
  await restore.until('crm', () => reportIn(bench, 'done', 'crm'), LONG_MS);
  expect(await stack.rows()).toEqual(['1', '1', '1']);

  const which = await dropback(environment, 'undo');
  expect(which.code, which.output).toBe(3);
  expect(which.output).toContain('--database NAME; they are: shop, crm, notes');
  const undo = await dropback(environment, 'undo', '--database', 'shop');
  expect(undo.code, undo.output).toBe(0);
  expect(await stack.rows()).toEqual(['1,2', '1', '1']);
  const list = await dropback(environment, 'list', '--json');
  const listed = JSON.parse(list.output.slice(list.output.indexOf('{')));
  expect(Object.keys(listed)).toEqual(['shop', 'crm', 'notes']);
  expect(listed.notes.entries).toHaveLength(1);
  expect(await restore.stop()).toEqual({ code: 0, signal: null });
});

async function dropback(environment: Record<string, string>, ...args: string[]) {
  await using command = new Daemon('dropback', environment, args);
  const { code } = await command.exited;
  return { code, output: command.output };
}
