import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { ScratchDatabase } from '../scratch-database.ts';
import type { TestServer } from '../testbed.ts';
import type { BackupSource } from './backup-world.ts';

const ROWS = 2000;

export async function postgresSource(server: TestServer): Promise<BackupSource> {
  const scratch = await ScratchDatabase.create(server, 'test_killed');
  await scratch.sql(
    `CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS filler FROM generate_series(1, ${ROWS}) i`,
  );
  return {
    url: scratch.url,
    rows: ROWS,
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}

export async function sqliteSource(): Promise<BackupSource> {
  const folder = await mkdtemp(join(tmpdir(), 'dropback-killed-'));
  const file = join(folder, 'app.db');
  const db = new Database(file);
  db.exec(`PRAGMA journal_mode = WAL; CREATE TABLE t (i INTEGER, filler BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
    INSERT INTO t SELECT i, randomblob(600) FROM n`);
  db.close();
  const remove = () => rm(folder, { recursive: true, force: true });
  return { url: `sqlite:///${file}`, rows: ROWS, [Symbol.asyncDispose]: remove };
}
