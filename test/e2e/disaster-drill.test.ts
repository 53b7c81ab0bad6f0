import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { chooseClient } from '../../src/core/engines/postgres/clients.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import type { Session } from '../../src/core/engines/postgres/session.ts';
import { newAgeKey } from '../support/age.ts';
import { Bench, Daemon } from '../support/daemon.ts';
import { PrivatePostgres } from '../support/private-postgres.ts';
import { TestPrefix } from '../support/s3.ts';
import { s3Environment } from '../support/sqlite-stack.ts';
import { type TestS3, type TestServer, testbed } from '../support/testbed.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const run = promisify(execFile);
const never = new AbortController().signal;
const { s3 } = testbed;
// Its server programs are on this machine.
const like = testbed.postgres15;

/** What an application of several roles has; quotes and percent signs are meant. */
const APPLICATION = [
  `CREATE ROLE "shop's owner %I" NOLOGIN`,
  `CREATE ROLE shop_app LOGIN PASSWORD 'secret' CONNECTION LIMIT 40 NOINHERIT IN ROLE "shop's owner %I"`,
  `ALTER ROLE shop_app SET search_path = "$user", shop, public`,
  `ALTER ROLE shop_app SET shop.token = 'a secret of the application'`,
  'CREATE ROLE readers NOLOGIN',
  'CREATE ROLE anna LOGIN IN ROLE readers',
  'GRANT pg_monitor TO anna',
  'CREATE ROLE of_somebody_else LOGIN',
  `ALTER ROLE shop_app IN DATABASE shop SET statement_timeout = '7s'`,
  `ALTER ROLE shop_app IN DATABASE shop SET shop.key = 'a secret of the application, %I'`,
  `ALTER ROLE "shop's owner %I" IN DATABASE shop SET search_path = shop, "$user"`,
  `ALTER ROLE anna IN DATABASE shop SET work_mem = '6MB'`,
  `ALTER DATABASE shop SET work_mem = '5MB'`,
  `ALTER DATABASE shop OWNER TO "shop's owner %I"`,
];
const CONTENT = [
  `SET ROLE "shop's owner %I"`,
  'CREATE SCHEMA shop',
  'CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer name, total numeric)',
  `INSERT INTO shop.orders (customer, total)
     SELECT CASE WHEN i % 2 = 0 THEN 'anna' ELSE 'ben' END, i FROM generate_series(1, 1000) i`,
  'ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY',
  'CREATE POLICY own ON shop.orders FOR SELECT TO readers USING (customer = current_user)',
  'GRANT USAGE ON SCHEMA shop TO readers, shop_app',
  'GRANT SELECT ON shop.orders TO readers',
  'GRANT SELECT, INSERT ON shop.orders TO shop_app',
  'CREATE POLICY app ON shop.orders TO shop_app USING (true) WITH CHECK (true)',
];

/** Everything that the application relies on, told by the server; equal means nothing is missing. */
const STATE = [
  `SELECT d.datname, pg_get_userbyid(d.datdba) FROM pg_database d WHERE datname = current_database()`,
  `SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), c.relacl::text, c.relrowsecurity
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'shop' ORDER BY 1, 2`,
  `SELECT polname, polroles::regrole[]::text FROM pg_policy ORDER BY 1`,
  `SELECT rolname, rolsuper, rolinherit, rolcreatedb, rolcanlogin, rolconnlimit,
          (SELECT setconfig FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0)
     FROM pg_roles r WHERE rolname !~ '^pg_' AND rolname <> 'of_somebody_else' ORDER BY 1`,
  `SELECT setrole::regrole::text, setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
    WHERE d.datname = current_database() AND setrole <> 0 ORDER BY 1`,
  `SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members
    WHERE member::regrole::text !~ '^pg_' ORDER BY 1, 2`,
  `SELECT rolpassword ~ '^SCRAM-SHA-256' AS scram, md5(rolpassword) FROM pg_authid
    WHERE rolname = 'shop_app'`,
  'SELECT count(*), sum(total), min(id), max(id) FROM shop.orders',
];

describe.skipIf(!s3 || !like)('a host is lost', () => {
  const key = newAgeKey();
  let prefix: TestPrefix;
  let lost: unknown[];
  let keyFile: string;
  let folder: string;

  /** What the env file says: the same on the host that was lost and on the new one. */
  const settings = (server: TestServer) => ({
    DATABASE_URL: `postgresql://postgres@${server.host}:${server.port}/shop`,
    BACKUP_AGE_RECIPIENTS: key.recipient,
    BACKUP_ROLE_PASSWORDS: 'true',
    RESTORE_AGE_IDENTITY: keyFile,
    ...s3Environment(s3 as TestS3, prefix.prefix),
  });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropback-drill-'));
    keyFile = join(folder, 'KEY');
    await writeFile(keyFile, key.identity.text, { mode: 0o600 });
    prefix = new TestPrefix(s3);
    await using host = await PrivatePostgres.create(like as TestServer);
    await statements(host.server, 'postgres', ['CREATE DATABASE shop', ...APPLICATION]);
    await statements(host.server, 'shop', CONTENT);
    lost = await stateOf(host.server, 'shop');
    await using bench = await Bench.create();
    await using backup = new Daemon('db-backup', bench.environment(settings(host.server)), [
      '--once',
    ]);
    expect((await backup.exited).code, backup.output).toBe(0);
  });

  afterAll(async () => {
    await prefix?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  test('`dropback restore latest --globals` on an empty one brings the application back', async () => {
    await using host = await PrivatePostgres.create(like as TestServer);
    // As the official image makes it at its first start.
    await statements(host.server, 'postgres', ['CREATE DATABASE shop']);
    await using bench = await Bench.create();
    const environment = bench.environment(settings(host.server));
    await using daemon = new Daemon('db-restore', environment);
    await daemon.says(/watching for drops/);
    await using told = new Daemon('dropback', environment, ['restore', 'latest', '--into', 'side']);
    expect((await told.exited).code, told.output + daemon.output).toBe(0);
    expect(told.output).toMatch(/roles of the backup are missing here: .*restore .* --globals/);
    await statements(host.server, 'postgres', ['CREATE ROLE anna LOGIN CREATEDB']);
    await using restore = new Daemon('dropback', environment, ['restore', 'latest', '--globals']);
    expect((await restore.exited).code, restore.output + daemon.output).toBe(0);
    expect(restore.output).toContain('created the roles that were missing here');
    expect(restore.output + daemon.output).not.toMatch(/without a password|SCRAM|secret of/);
    expect(restore.output).toContain(
      'set as in the backup: the setting work_mem of the role "anna" in this database',
    );
    // The database itself is this server's; what it was like is told, as statements.
    const owner = `ALTER DATABASE "shop" OWNER TO "shop's owner %I";`;
    const setting = `ALTER DATABASE "shop" SET "work_mem" TO '5MB';`;
    expect(restore.output).toContain(owner);
    expect(restore.output).toContain(setting);
    // What was there keeps what it has, and belongs to the new ones again.
    await statements(host.server, 'postgres', [
      owner,
      'ALTER ROLE anna NOCREATEDB',
      'GRANT pg_monitor TO anna',
    ]);
    expect(await stateOf(host.server, 'shop')).toEqual(lost);
    await useApplication(host.server, 'shop');
    // Beside the live database nothing of it changes.
    await statements(host.server, 'postgres', ['ALTER ROLE anna IN DATABASE shop RESET ALL']);
    await using aside = new Daemon('dropback', environment, [
      ...['restore', 'latest', '--globals', '--into', 'another'],
    ]);
    expect((await aside.exited).code, aside.output + daemon.output).toBe(0);
    expect(aside.output).not.toMatch(/set as in the backup|in the backup, and isn't here/);
    await statements(host.server, 'postgres', [
      `ALTER ROLE anna IN DATABASE shop SET work_mem = '7MB'`,
    ]);
    await using again = new Daemon('dropback', environment, ['restore', 'latest', '--globals']);
    expect((await again.exited).code, again.output + daemon.output).toBe(0);
    expect(again.output).not.toMatch(/created the roles|set as in the backup/);
    await using foreign = new Daemon('dropback', environment, [
      'restore',
      await dump(),
      '--globals',
    ]);
    expect((await foreign.exited).code, foreign.output).toBe(3);
    expect(foreign.output).toContain('request/no-globals');
  });

  test('the commands of the manifest do the same without this software', async () => {
    await using host = await PrivatePostgres.create(like as TestServer);
    const manifest = await download();
    expect(JSON.stringify(manifest)).not.toMatch(/a secret of the application|SCRAM/);
    const { folder: programs } = await chooseClient({ serverMajor: host.server.major }, never);
    // As docs/disaster-recovery.md has it done.
    await writeFile(join(folder, 'by-hand.sh'), `${manifest.restoreByHand.join('\n')}\n`);
    await run('/bin/sh', ['-e', 'by-hand.sh'], {
      cwd: folder,
      env: {
        PATH: `${programs}:/usr/bin:/bin`,
        PGHOST: host.server.host,
        PGPORT: String(host.server.port),
        PGUSER: 'postgres',
      },
    });
    await statements(host.server, 'postgres', ['ALTER DATABASE "NEW" RENAME TO shop']);
    expect(await stateOf(host.server, 'shop')).toEqual(lost);
    await useApplication(host.server, 'shop');
  });

  /** What lies in the bucket, into the folder in which the key is; returns the manifest. */
  async function download(): Promise<Manifest> {
    for (const file of await prefix.files()) {
      const input = { Bucket: prefix.bucket, Key: prefix.key(file) };
      const { Body } = await prefix.client.send(new GetObjectCommand(input));
      await writeFile(join(folder, file), (await Body?.transformToByteArray()) ?? '');
    }
    const name = (await prefix.files()).find((file) => file.endsWith('Z.json')) ?? '';
    return JSON.parse(await readFile(join(folder, name), 'utf8')) as Manifest;
  }

  async function dump(): Promise<string> {
    const path = join(folder, 'foreign.sql');
    await mkdir(folder, { recursive: true });
    const text = 'CREATE TABLE shop.orders (id int);\n';
    await writeFile(
      path,
      `--\n-- PostgreSQL database dump\n--\n\nCREATE SCHEMA shop;\n${text}\n--\n-- PostgreSQL database dump complete\n--\n`,
    );
    return path;
  }
});

async function session(server: TestServer, database: string, user = 'postgres'): Promise<Session> {
  const { host, port } = server;
  const connection = { host, port, user, database, password: 'none', sslMode: 'prefer' } as const;
  return await connect(connection, { applicationName: 'test', signal: never });
}

async function statements(server: TestServer, database: string, all: readonly string[]) {
  await using admin = await session(server, database);
  for (const statement of all) await admin.query(statement);
}

async function stateOf(server: TestServer, database: string): Promise<unknown[]> {
  await using admin = await session(server, database);
  const found: unknown[] = [];
  for (const query of STATE) found.push(await admin.query(query));
  return found;
}

/** Each role does what it is for, and can't do more. */
async function useApplication(server: TestServer, database: string): Promise<void> {
  await using app = await session(server, database, 'shop_app');
  await app.query(`INSERT INTO shop.orders (customer, total) VALUES ('anna', 1)`);
  await using anna = await session(server, database, 'anna');
  const own = await anna.query<{ count: string }>('SELECT count(*) FROM shop.orders');
  expect(own).toEqual([{ count: '501' }]);
  await expect(anna.query('DELETE FROM shop.orders')).rejects.toThrow(/permission denied/);
}
