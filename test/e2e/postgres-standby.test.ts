import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { chooseClient } from '../../src/core/engines/postgres/clients.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { restoreByHand } from '../support/by-hand.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { PrivatePostgres } from '../support/private-postgres.ts';
import { type TestServer, testbed } from '../support/testbed.ts';

// Some seconds each; a machine that is busy otherwise may take many times that.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const never = new AbortController().signal;
// Its server programs are on this machine.
const like = testbed.postgres15;

const CONTENT = [
  'CREATE TABLE orders (id serial PRIMARY KEY, note text)',
  `INSERT INTO orders (note) SELECT 'no. ' || i FROM generate_series(1, 500) i`,
  'CREATE TABLE items AS SELECT i % 500 + 1 AS order_id FROM generate_series(1, 2000) i',
  `SELECT lo_from_bytea(0, 'x')`,
  // Its sequence is as unlogged as it is.
  'CREATE UNLOGGED TABLE sessions (id serial, token text)',
  `INSERT INTO sessions (token) SELECT md5(i::text) FROM generate_series(1, 30) i`,
];
/** A sequence may be ahead on a standby: its values are logged some at a time. */
const COUNTS = `SELECT (SELECT count(*) FROM orders) AS orders,
  (SELECT count(*) FROM items) AS items, (SELECT count(*) FROM sessions) AS sessions,
  (SELECT last_value >= 501 FROM orders_id_seq) AS "goesOn",
  (SELECT count(*) FROM pg_largeobject_metadata) AS objects`;
const TABLES = [
  { schema: 'public', name: 'items', rows: 2000 },
  { schema: 'public', name: 'orders', rows: 501 },
];
const LEFT_OUT = 'a standby cannot read unlogged tables; left out: public.sessions';

/** Whatever a statement could have left in the standby. */
const OBJECTS = `SELECT (SELECT array_agg(datname ORDER BY 1) FROM pg_database) AS databases,
  (SELECT array_agg(rolname ORDER BY 1) FROM pg_roles) AS roles,
  (SELECT array_agg(oid::regclass || ' ' || relfilenode ORDER BY oid) FROM pg_class) AS relations,
  pg_is_in_recovery() AS standby`;

async function query<Row extends object>(
  server: TestServer,
  database: string,
  ...statements: string[]
): Promise<Row[]> {
  const { host, port } = server;
  const login = { user: 'postgres', password: 'none', sslMode: 'prefer' } as const;
  const to = { ...login, host, port, database };
  await using session = await connect(to, { applicationName: 'test', signal: never });
  let rows: Row[] = [];
  await session.query('SET search_path = public');
  for (const statement of statements) rows = await session.query<Row>(statement);
  return rows;
}

const url = ({ host, port }: TestServer, database: string) =>
  `postgresql://postgres@${host}:${port}/${database}`;

describe.skipIf(!like)('a hot standby', () => {
  let primary: PrivatePostgres;
  let standby: PrivatePostgres;

  beforeAll(async () => {
    primary = await PrivatePostgres.create(like as TestServer);
    await query(primary.server, 'postgres', 'CREATE DATABASE shop');
    await query(primary.server, 'shop', ...CONTENT);
    standby = await primary.standby();
    // This one has come by the stream.
    await query(primary.server, 'shop', `INSERT INTO orders (note) VALUES ('late')`);
    await caughtUp();
    const orders = await query(standby.server, 'shop', 'SELECT count(*) AS n FROM orders');
    expect(orders).toEqual([{ n: '501' }]);
  });
  afterAll(async () => {
    await standby?.[Symbol.asyncDispose]();
    await primary?.[Symbol.asyncDispose]();
  });

  /** What is in the primary is in the standby. */
  async function caughtUp(): Promise<void> {
    const now = 'SELECT pg_current_wal_lsn() AS lsn';
    const [{ lsn = '' } = {}] = await query<{ lsn: string }>(primary.server, 'postgres', now);
    const isThere = `SELECT WHERE pg_last_wal_replay_lsn() >= '${lsn}'`;
    const look = async () => (await query(standby.server, 'postgres', isThere)).length > 0;
    await vi.waitUntil(look, { timeout: 60_000 });
  }

  test.each<[string, Record<string, string>, RegExp]>([
    ['jobs as they come', {}, /postgres-(custom|directory)/],
    ['one job', { BACKUP_JOBS: '1' }, /postgres-custom/],
    ['two jobs', { BACKUP_JOBS: '2' }, /postgres-directory/],
  ])(
    'is backed up whole, save for unlogged tables, and nothing is written to it: %s',
    async (_, jobs, format) => {
      await using bench = await Bench.create();
      const environment = bench.environment({ DATABASE_URL: url(standby.server, 'shop'), ...jobs });
      // The one before has restored into the primary.
      await caughtUp();
      const before = await query(standby.server, 'shop', OBJECTS);
      const said = (await standby.log()).length;

      await using daemon = new Daemon('db-backup', environment, ['--once']);
      expect((await daemon.exited).code, daemon.output).toBe(0);
      const [manifest, ...others] = await bench.manifests();
      expect(others).toEqual([]);
      const { archive, tables, warnings } = manifest as Manifest;
      expect(archive.format).toMatch(format);
      expect(tables).toEqual(TABLES);
      expect(warnings).toEqual([LEFT_OUT]);
      expect(daemon.output).toContain(LEFT_OUT);
      expect(await query(standby.server, 'shop', OBJECTS)).toEqual(before);
      // Nor was it tried: the server says which statements it refuses.
      expect((await standby.log()).slice(said)).not.toMatch(/ERROR|FATAL|PANIC/);

      const primaryUrl = { BACKUP_VERIFY_URL: url(primary.server, 'postgres') };
      for (const [args, told] of [
        [['list'], new RegExp(`${manifest?.id} `)],
        [['verify', '--all'], /every byte is as it was written/],
        // The unlogged table has a definition, but no rows that were counted.
        [['verify', '--restore'], /restored as a test, in part, 2\s501 rows in 3 tables/],
      ] as const) {
        await using cli = new Daemon('dropback', { ...environment, ...primaryUrl }, args);
        expect((await cli.exited).code, cli.output).toBe(0);
        expect(cli.output).toMatch(told);
      }
      expect(await restored(bench, manifest as Manifest)).toEqual([
        { orders: '501', items: '2000', goesOn: true, objects: '1', sessions: '0' },
      ]);
    },
  );

  test('a test restore in it is refused, and told where to go', async () => {
    await using bench = await Bench.create();
    const DATABASE_URL = url(standby.server, 'shop');
    const environment = bench.environment({ DATABASE_URL, BACKUP_VERIFY: 'restore' });
    await using daemon = new Daemon('db-backup', environment, ['--once']);
    expect((await daemon.exited).code, daemon.output).toBe(1);
    expect(daemon.output).toMatch(/is listed, but .* read-only transaction/);
    expect(daemon.output).toContain(
      'give the address of the primary (for a test restore BACKUP_VERIFY_URL)',
    );
    expect(await bench.manifests()).toHaveLength(1);
  });

  test('a session that the primary’s vacuum ends says which setting lets it stay', async () => {
    const { host, port } = standby.server;
    const set = ['ALTER SYSTEM SET max_standby_streaming_delay = 0', 'SELECT pg_reload_conf()'];
    await query(standby.server, 'postgres', ...set);
    await using session = await connect(
      { host, port, user: 'postgres', password: 'none', sslMode: 'prefer', database: 'shop' },
      { applicationName: 'test', signal: never },
    );
    await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await session.query('SELECT FROM public.items');
    await query(primary.server, 'shop', 'DELETE FROM items', 'VACUUM items');
    await vi.waitUntil(() => session.lost.aborted, { timeout: 60_000 });
    expect(session.lost.reason).toMatchObject({
      code: 'database/unreachable',
      hint: expect.stringContaining('max_standby_streaming_delay'),
    });
  });

  /** What the manifest's own commands make of it on the primary. */
  async function restored(bench: Bench, manifest: Manifest): Promise<unknown[]> {
    const { host: PGHOST, port, major } = primary.server;
    const { folder } = await chooseClient({ serverMajor: major }, never);
    const PATH = `${folder}:/usr/bin:/bin`;
    try {
      await restoreByHand(manifest, {
        from: bench.path('backups', 'app'),
        folder: bench.path('elsewhere'),
        environment: { PATH, PGHOST, PGPORT: String(port), PGUSER: 'postgres' },
      });
      return await query(primary.server, 'NEW', COUNTS);
    } finally {
      await query(primary.server, 'postgres', 'DROP DATABASE IF EXISTS "NEW"');
    }
  }
});
