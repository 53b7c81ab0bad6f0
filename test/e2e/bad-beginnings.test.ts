import { rename } from 'node:fs/promises';
import { createServer, connect as dial, type Server } from 'node:net';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { Bench, Daemon } from '../support/daemon.ts';
import { ScratchDatabase } from '../support/scratch-database.ts';
import { servers } from '../support/testbed.ts';

describe('a wrong configuration', () => {
  const wrong = {
    DATABASE_URL: 'mysql://root:hunter2@db/app',
    BACKUP_NAME: 'No Spaces!',
    S3_ENDPOINT: 'not a url',
    S3_BUCKET: 'Not a bucket',
    HEALTH_PORT: '99999',
    LOG_LEVEL: 'loud',
    LOG_FORMAT: 'xml',
  };
  const ofBackup = {
    BACKUP_CRON: 'every night',
    TZ: 'Mars/Olympus',
    BACKUP_JOBS: 'many',
    BACKUP_KEEP_LAST: '-1',
  };
  const ofRestore = {
    RESTORE_POLL_INTERVAL: 'often',
    RESTORE_STOP_TIMEOUT: '-5',
    RESTORE_STOP_CONTAINERS: 'service:web',
    DOCKER_HOST: 'http://docker',
    RESTORE_IN_PLACE: 'perhaps',
  };

  test.for([
    ['db-backup', { ...wrong, ...ofBackup }],
    ['db-restore', { ...wrong, ...ofRestore }],
    ['dropback', wrong],
  ] as const)('%s tells everything at once and exits 78', async ([program, environment]) => {
    await using daemon = new Daemon(program, environment, program === 'dropback' ? ['list'] : []);
    expect(await daemon.exited).toEqual({ code: 78, signal: null });
    const lines = daemon.output.split('\n');
    const hinted = (name: string) => {
      const at = lines.findIndex((line) => line.trim().startsWith(`${name} `));
      return at >= 0 && /^\s+→ \S+/.test(lines[at + 1] ?? '');
    };
    const untold = Object.keys(environment).filter((name) => !hinted(name));
    expect(untold).toEqual([]);
    expect(daemon.output).not.toContain('hunter2');
  });

  test('a secret in a file that is missing is one of the problems', async () => {
    const environment = {
      DATABASE_URL_FILE: '/nonexistent/url',
      BACKUP_INTERVAL_SECONDS: 'soon',
    };
    await using daemon = new Daemon('db-backup', environment);
    expect((await daemon.exited).code).toBe(78);
    expect(daemon.output).toContain('DATABASE_URL_FILE');
    expect(daemon.output).toContain('BACKUP_INTERVAL_SECONDS');
  });

  test('an argument that does not exist is wrong usage', async () => {
    await using daemon = new Daemon('db-restore', {}, ['--once']);
    expect((await daemon.exited).code).toBe(64);
  });
});

describe('a database that is down', () => {
  test.for(servers)('PostgreSQL $major: waited for, then worked with', async (server) => {
    await using bench = await Bench.create();
    await using scratch = await ScratchDatabase.create(server, 'test_down');
    await scratch.sql('CREATE TABLE items (id int PRIMARY KEY)', 'INSERT INTO items VALUES (1)');
    await scratch.dump(bench.path('good.dump'), '-Fc');
    await using road = await Road.closed(server.host, server.port);
    const environment = bench.environment({ DATABASE_URL: scratch.urlAt('127.0.0.1', road.port) });
    await using backup = new Daemon('db-backup', environment);
    await using restore = new Daemon('db-restore', environment);
    await backup.says(/waiting for the database/);
    await bench.drop(bench.path('good.dump'));
    await restore.says(/waiting for the database/);
    await backup.says(
      /waiting for the database.*"attempt":2|"attempt":2.*waiting for the database/,
    );
    expect(backup.isRunning && restore.isRunning).toBe(true);
    expect(await bench.manifests()).toEqual([]);
    expect(await bench.report('good.dump')).toBeUndefined();

    await road.open();
    await backup.until('a backup', async () => (await bench.manifests())[0]);
    const report = await restore.until('a restore', () => bench.report('good.dump'));
    expect(report.error).toBeUndefined();
    expect(report.outcome).toBe('restored');
  });

  test('SQLite: a volume that is not mounted yet', async () => {
    await using bench = await Bench.create();
    const path = bench.path('data', 'app.db');
    const database = new Database(path);
    database.exec('CREATE TABLE items (id INTEGER PRIMARY KEY); INSERT INTO items VALUES (1)');
    await database.backup(bench.path('good.db'));
    database.close();
    await rename(bench.path('data'), bench.path('elsewhere'));
    const environment = bench.environment({ DATABASE_URL: `sqlite:///${path}` });
    await using backup = new Daemon('db-backup', environment);
    await using restore = new Daemon('db-restore', environment);
    await backup.says(/waiting for the database/);
    await bench.drop(bench.path('good.db'));
    await restore.says(/waiting for the database/);
    expect(await bench.report('good.db')).toBeUndefined();

    await rename(bench.path('elsewhere'), bench.path('data'));
    await backup.until('a backup', async () => (await bench.manifests())[0]);
    const report = await restore.until('a restore', () => bench.report('good.db'));
    expect(report.outcome).toBe('restored');
  });

  test('SQLite: a file that is missing is created by a restore', async () => {
    await using bench = await Bench.create();
    const path = bench.path('data', 'app.db');
    const database = new Database(bench.path('good.db'));
    database.exec('CREATE TABLE items (id INTEGER PRIMARY KEY); INSERT INTO items VALUES (7)');
    database.close();
    const environment = bench.environment({ DATABASE_URL: `sqlite:///${path}` });
    await using backup = new Daemon('db-backup', environment);
    await backup.says(/waiting for the database/);
    await using restore = new Daemon('db-restore', environment);
    await bench.drop(bench.path('good.db'));
    const report = await restore.until('a restore', () => bench.report('good.db'));
    expect(report.outcome).toBe('restored');
    await backup.until('a backup', async () => (await bench.manifests())[0]);
    const restored = new Database(path, { readonly: true });
    expect(restored.prepare('SELECT id FROM items').pluck().all()).toEqual([7]);
    restored.close();
  });
});

/** The way to a server that isn't up yet: a port where nobody listens until it is opened. */
class Road implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;

  private constructor(port: number, server: Server) {
    this.port = port;
    this.#server = server;
  }

  static async closed(host: string, port: number): Promise<Road> {
    const server = createServer((inner) => {
      const outer = dial(port, host);
      inner.pipe(outer).pipe(inner);
      inner.on('error', () => outer.destroy());
      outer.on('error', () => inner.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    await new Promise((resolve) => server.close(resolve));
    return new Road(address.port, server);
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.port, '127.0.0.1', resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
  }
}
