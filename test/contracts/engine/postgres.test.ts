import { createHash, randomBytes } from 'node:crypto';
import { mkdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { unpack } from '../../../src/core/archive/unpack.ts';
import type { UnpackedDrop } from '../../../src/core/archive/unpacked.ts';
import type { Dump } from '../../../src/core/engines/engine.ts';
import { PostgresBackupEngine } from '../../../src/core/engines/postgres/backup/engine.ts';
import { marker } from '../../../src/core/engines/postgres/restore/create-staging.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { RestoreBed } from '../../integration/postgres-restore-bed.ts';
import { type AgeKey, newAgeKey } from '../../support/age.ts';
import { servers, type TestServer } from '../../support/testbed.ts';
import { describeEngine, type EngineUnderTest } from './engine-contract.ts';

// A database is made and dropped for each, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const never = new AbortController().signal;

async function create(server: TestServer, key?: AgeKey): Promise<EngineUnderTest> {
  const bed = await RestoreBed.create(server);
  // A swap carries the comment over: by it what is kept is found again.
  await bed.admin.query(`COMMENT ON DATABASE ${bed.live} IS '${bed.live}'`);
  await bed.sql(`
    CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customer, note text);
    CREATE VIEW busy AS SELECT customer, count(*) AS n FROM orders GROUP BY customer;
    INSERT INTO customer SELECT i, 'çustomer ' || i FROM generate_series(1, 1000) i;
    INSERT INTO orders (customer, note) SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 1000) i;
    ALTER TABLE customer OWNER TO "${bed.owner}"; ALTER TABLE orders OWNER TO "${bed.owner}";
    ALTER VIEW busy OWNER TO "${bed.owner}"`);
  const database = {
    kind: 'postgres' as const,
    connection: bed.connection(),
    maintenanceDatabase: 'postgres',
  };
  const recipients = key ? [key.recipient] : [];
  const side = `test_side_${bed.id}`;
  const decrypted = async (archivePath: string, dump: Dump): Promise<UnpackedDrop> => {
    const workFolder = join(bed.folder, randomBytes(4).toString('hex'));
    await mkdir(workFolder);
    const fileName = `x${dump.archive.encryption ? '.dump.zst.age' : '.dump.zst'}`;
    const { sha256 } = dump.archive;
    const claimed = { path: archivePath, fileName, workFolder, sha256, force: false };
    return await unpack({ ...claimed, identity: key?.identity }, never);
  };
  const backup = new PostgresBackupEngine({ database, clock: systemClock, recipients });
  return {
    backup,
    restore: bed.engine(),
    folder: bed.folder,
    side,
    content: () => contentOf(bed, bed.live),
    change: () =>
      bed.sql(`DELETE FROM orders WHERE id % 3 = 0; UPDATE customer SET name = name || name;
        CREATE TABLE added AS SELECT 1 AS x; ALTER TABLE added OWNER TO "${bed.owner}"`),
    unpack: async (archivePath, dump, trusted) => {
      const drop = await decrypted(archivePath, dump);
      const manifest = { ...dump, engine: 'postgres' } as unknown as Manifest;
      return trusted ? { ...drop, manifest } : drop;
    },
    damaged: async () => {
      const drop = await bed.dump('postgres-custom', bed.live);
      const contentBytes = Math.floor(drop.contentBytes / 2);
      await truncate(drop.path, contentBytes);
      return { ...drop, contentBytes };
    },
    sideContent: (name) => contentOf(bed, name),
    leftovers: () => leftovers(bed),
    dispose: async () => {
      await backup[Symbol.asyncDispose]();
      for (const name of await leftovers(bed)) {
        if (name.startsWith('dropback_load_')) continue;
        await bed.admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      }
      await bed.admin.query(`DROP DATABASE IF EXISTS ${side} WITH (FORCE)`);
      await bed[Symbol.asyncDispose]();
    },
  };
}

async function contentOf(bed: RestoreBed, database: string): Promise<string> {
  const { schema, data } = await bed.picture(database);
  return `${schema}\n${createHash('sha256').update(data.join('\n')).digest('hex')}`;
}

/** Databases and load roles of restores into this bed's live database. */
async function leftovers({ admin, live }: RestoreBed): Promise<string[]> {
  const rows = await admin.query<{ name: string }>(
    `SELECT datname AS name FROM pg_database
      WHERE datname LIKE 'dropback\\_%' AND shobj_description(oid, 'pg_database') IN ($1, $2)
     UNION ALL SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = $2
     ORDER BY 1`,
    [live, marker(live)],
  );
  return rows.map(({ name }) => name);
}

const [oldest] = servers;
const newest = servers.at(-1);
if (newest) describeEngine(`PostgreSQL ${newest.major}`, () => create(newest));
if (oldest && oldest !== newest) {
  const key = newAgeKey();
  describeEngine(`PostgreSQL ${oldest.major} (encrypted)`, () => create(oldest, key));
}
