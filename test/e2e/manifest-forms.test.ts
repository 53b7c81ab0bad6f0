import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { chooseClient } from '../../src/core/engines/postgres/clients.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { newAgeKey } from '../support/age.ts';
import { restoreByHand } from '../support/by-hand.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { PrivatePostgres } from '../support/private-postgres.ts';
import { SqliteStack } from '../support/sqlite-stack.ts';
import { type TestServer, testbed } from '../support/testbed.ts';

// Generous: other test files load the machine.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const never = new AbortController().signal;
const key = newAgeKey();
const encrypted = { BACKUP_AGE_RECIPIENTS: key.recipient };
const identity = key.identity.text;
// Its server programs are on this machine.
const like = testbed.postgres15;

const CONTENT = [
  `CREATE ROLE "owner's %I" NOLOGIN`,
  'CREATE TABLE "order" (id serial PRIMARY KEY, note text)',
  `INSERT INTO "order" (note) SELECT 'it''s ' || i FROM generate_series(1, 500) i`,
  'CREATE TABLE logs AS SELECT generate_series(1, 50) AS i',
  `ALTER TABLE "order" OWNER TO "owner's %I"`,
  `SELECT lo_from_bytea(0, 'x')`,
  `ALTER DATABASE shop OWNER TO "owner's %I"`,
];

/** The one backup that these settings make. */
async function backup(bench: Bench, settings: Record<string, string>): Promise<Manifest> {
  await using daemon = new Daemon('db-backup', bench.environment(settings), ['--once']);
  expect((await daemon.exited).code, daemon.output).toBe(0);
  const [manifest] = await bench.manifests();
  if (!manifest) throw new Error('no backup was made');
  return manifest;
}

describe.skipIf(!like)('a manifest of PostgreSQL restores by its own commands, as they are', () => {
  let host: PrivatePostgres;
  let programs: string;

  const inDatabase = async (database: string, ...statements: string[]): Promise<unknown[]> => {
    const { port } = host.server;
    const login = { user: 'postgres', password: 'none', sslMode: 'prefer' } as const;
    await using session = await connect(
      { ...login, host: host.server.host, port, database },
      { applicationName: 'test', signal: never },
    );
    let rows: unknown[] = [];
    await session.query('SET search_path = public');
    for (const statement of statements) rows = await session.query(statement);
    return rows;
  };

  beforeAll(async () => {
    host = await PrivatePostgres.create(like as TestServer);
    await inDatabase('postgres', 'CREATE DATABASE shop');
    await inDatabase('shop', ...CONTENT);
    programs = (await chooseClient({ serverMajor: host.server.major }, never)).folder;
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  const forms: [string, Record<string, string>, string][] = [
    ['one stream', { BACKUP_JOBS: '1' }, 'postgres-custom'],
    ['encrypted', { BACKUP_JOBS: '1', ...encrypted }, 'postgres-custom'],
    [
      'several jobs, tables left out, rows not counted',
      { BACKUP_JOBS: '2', BACKUP_EXCLUDE_TABLE_DATA: 'lo*', BACKUP_ROW_COUNTS: 'archive' },
      'postgres-directory',
    ],
  ];
  test.each(forms)('%s', async (_, settings, format) => {
    await using bench = await Bench.create();
    const { host: PGHOST, port } = host.server;
    const DATABASE_URL = `postgresql://postgres@${PGHOST}:${port}/shop`;
    const manifest = await backup(bench, { DATABASE_URL, ...settings });
    expect(manifest.archive.format).toBe(format);
    const PATH = `${programs}:/usr/bin:/bin`;
    try {
      await restoreByHand(manifest, {
        from: bench.path('backups', 'app'),
        folder: bench.path('elsewhere'),
        identity,
        environment: { PATH, PGHOST, PGPORT: String(port), PGUSER: 'postgres' },
      });
      const expected = 'BACKUP_EXCLUDE_TABLE_DATA' in settings ? '0' : '50';
      expect(
        await inDatabase(
          'NEW',
          `SELECT (SELECT count(*) FROM "order") AS orders, (SELECT count(*) FROM logs) AS logs,
                  (SELECT last_value FROM order_id_seq) AS last,
                  (SELECT count(*) FROM pg_largeobject_metadata) AS objects,
                  (SELECT tableowner FROM pg_tables WHERE tablename = 'order') AS owner,
                  (SELECT pg_get_userbyid(datdba) FROM pg_database
                    WHERE datname = current_database()) AS "ownerOfAll"`,
        ),
      ).toEqual([
        {
          ...{ orders: '500', logs: expected, last: '500', objects: '1' },
          ...{ owner: "owner's %I", ownerOfAll: "owner's %I" },
        },
      ]);
    } finally {
      await inDatabase('postgres', 'DROP DATABASE IF EXISTS "NEW"');
    }
  });
});

describe('a manifest of SQLite restores by its own commands, as they are', () => {
  test.each<[string, Record<string, string>]>([
    ['compressed', {}],
    ['encrypted', encrypted],
  ])('%s', async (_, settings) => {
    await using stack = await SqliteStack.create();
    const { bench, database } = stack;
    const manifest = await backup(bench, { DATABASE_URL: `sqlite:///${database}`, ...settings });
    const folder = bench.path('elsewhere');
    const from = bench.path('backups', 'app');
    expect(await restoreByHand(manifest, { from, folder, identity })).toMatch(/\nok\s*$/);
    expect(stack.rows(bench.path('elsewhere', 'NEW.db'))).toBe('1,2,3');
  });
});
