import { describe, expect, test, vi } from 'vitest';
import { BackupBed } from '../integration/postgres-backup-bed.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { programsWith } from '../support/programs.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { servers, type TestServer } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000 });

function urlOf(server: TestServer, database: string, change: { port?: number; pw?: string } = {}) {
  const password = encodeURIComponent(change.pw ?? server.password);
  return `postgresql://postgres:${password}@${server.host}:${change.port ?? server.port}/${database}`;
}

interface Line {
  readonly time: string;
  readonly msg: string;
  readonly error?: { readonly code: string };
}

/** The lines of a JSON log. */
function logOf(daemon: Daemon): Line[] {
  return daemon.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

/** Names of what lies in the backup folder and isn't a lock. */
const leftIn = async (bench: Bench) =>
  (await bench.files('backups', 'app')).filter((file) => !file.startsWith('.'));

describe.each(servers)('db-backup on PostgreSQL $major', (server) => {
  /** A database of which a dump begins, and can't end. */
  async function held() {
    const bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.t (i int)', 'INSERT INTO public.t VALUES (1), (2)');
    // pg_dump alone reads that: the snapshot is there, and the dump waits.
    const locker = await bed.open();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE pg_catalog.pg_policy IN ACCESS EXCLUSIVE MODE');
    const { database } = bed.connection;
    return {
      database,
      release: () => locker.query('ROLLBACK'),
      dumping: (daemon: Daemon) =>
        daemon.until('a dump', () => programsWith(`PGDATABASE=${database}`)[0]),
      async [Symbol.asyncDispose]() {
        await locker[Symbol.asyncDispose]();
        await bed[Symbol.asyncDispose]();
      },
    };
  }

  test('SIGTERM during a dump ends every program of it, and leaves nothing', async () => {
    await using bed = await held();
    await using bench = await Bench.create();
    const environment = bench.environment({ DATABASE_URL: urlOf(server, bed.database) });
    await using daemon = new Daemon('db-backup', environment);
    await bed.dumping(daemon);
    const asked = performance.now();
    const exit = await daemon.stop();
    expect(performance.now() - asked).toBeLessThan(10_000);
    expect(exit, daemon.output).toEqual({ code: 0, signal: null });
    expect(programsWith(`PGDATABASE=${bed.database}`)).toEqual([]);
    expect(await leftIn(bench)).toEqual([]);
    expect(daemon.output).not.toContain('backup failed');
  });

  test('SIGKILL during a dump: the next start sweeps and makes its backup', async () => {
    await using bed = await held();
    await using bench = await Bench.create();
    const environment = bench.environment({ DATABASE_URL: urlOf(server, bed.database) });
    await using killed = new Daemon('db-backup', environment);
    await bed.dumping(killed);
    await killed.until('a spool', async () =>
      (await leftIn(bench)).find((file) => file.endsWith('.partial')),
    );
    killed.kill('SIGKILL');
    await killed.exited;
    expect(await bench.manifests()).toEqual([]);
    await bed.release();

    await using next = new Daemon('db-backup', environment);
    await next.says(/"backup listed"/);
    expect(next.output).toContain('removed what an unfinished backup left');
    expect(await bench.manifests()).toHaveLength(1);
    expect((await leftIn(bench)).filter((file) => file.includes('partial'))).toEqual([]);
    // What the dead daemon had started ends with its pipes.
    await next.until('the end of the orphans', () =>
      programsWith(`PGDATABASE=${bed.database}`).length === 0 ? true : undefined,
    );
  });

  test('two daemons on one database take turns', async () => {
    await using bed = await held();
    await using bench = await Bench.create();
    const environment = bench.environment({ DATABASE_URL: urlOf(server, bed.database) });
    await using first = new Daemon('db-backup', environment);
    await bed.dumping(first);
    await using second = new Daemon('db-backup', environment, ['--once']);
    await second.says(/postponed: .*backup/);
    expect(programsWith(`PGDATABASE=${bed.database}`).length).toBeGreaterThan(0);
    await bed.release();
    await first.says(/"backup listed"/);
    expect(await second.exited, second.output).toMatchObject({ code: 0 });

    const time = (daemon: Daemon, msg: string) =>
      logOf(daemon).find((line) => line.msg === msg)?.time ?? '';
    expect(time(second, 'backup started') >= time(first, 'backup started')).toBe(true);
    expect(await bench.manifests()).toHaveLength(2);
    const [a, b] = await bench.manifests();
    expect(a?.finishedAt !== undefined && b !== undefined && b.createdAt >= a.finishedAt).toBe(
      true,
    );
  });

  test('a database that is down is waited for, with a line each time', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.t (i int)');
    await using bench = await Bench.create();
    await using proxy = await TcpProxy.reserve(server);
    const url = urlOf(server, bed.connection.database, { port: proxy.port });
    await using daemon = new Daemon('db-backup', bench.environment({ DATABASE_URL: url }));
    const waits = () => daemon.lines.filter((line) => line.includes('waiting for the database:'));
    await daemon.until('two lines', () => (waits().length >= 2 ? true : undefined));
    expect(waits()[0]).toMatch(/again in \d+ s/);
    expect(await bench.manifests()).toEqual([]);
    await proxy.open();
    await daemon.says(/"backup listed"/);
    expect(await bench.manifests()).toHaveLength(1);
  });

  test('--once: 0 when it is done, otherwise non-zero with the reason', async () => {
    await using bed = await BackupBed.create(server);
    await bed.run('CREATE TABLE public.t (i int)');
    await using bench = await Bench.create();
    const { database } = bed.connection;
    const once = (url: string) =>
      new Daemon('db-backup', bench.environment({ DATABASE_URL: url }), ['--once']);
    const good = once(urlOf(server, database));
    expect(await good.exited, good.output).toEqual({ code: 0, signal: null });
    expect(await bench.manifests()).toHaveLength(1);

    const wrong = once(urlOf(server, database, { pw: 'not-the-passw0rd' }));
    const missing = once(urlOf(server, `${database}_gone`));
    await Promise.all([wrong.exited, missing.exited]);
    expect(await wrong.exited).toEqual({ code: 1, signal: null });
    expect(wrong.lines.findLast((line) => line.startsWith('error '))).toMatch(/password/);
    expect(wrong.output).not.toContain('not-the-passw0rd');
    expect(await missing.exited).toEqual({ code: 1, signal: null });
    expect(missing.lines.findLast((line) => line.startsWith('error '))).toContain(
      `${database}_gone`,
    );
    expect(await bench.manifests()).toHaveLength(1);
  });
});
