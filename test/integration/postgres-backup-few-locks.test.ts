import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { PrivatePostgres } from '../support/private-postgres.ts';
import { testbed } from '../support/testbed.ts';
import { BackupBed, never } from './postgres-backup-bed.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const like = testbed.postgres15;
const hasServer = like !== undefined && existsSync(`${like.binDir}/initdb`);

/** Too many for a dump by several jobs, which locks each of them three times, and not for a stream. */
const MANY = 200;

describe.runIf(hasServer)('a backup from a server with few locks', () => {
  let postgres: PrivatePostgres;
  let bed: BackupBed;
  const createTables = async (from: number, to: number) => {
    for (let at = from; at <= to; at += 50) {
      await bed.run(`DO $$ BEGIN FOR n IN ${at}..${at + 49} LOOP
        EXECUTE format('CREATE TABLE public.t_%s (i integer)', n); END LOOP; END $$`);
    }
  };
  beforeAll(async () => {
    if (!like) return;
    const settings = { max_locks_per_transaction: '10', max_connections: '20' };
    postgres = await PrivatePostgres.create(like, { settings });
    bed = await BackupBed.create(postgres.server);
    await createTables(1, 100);
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
    await postgres[Symbol.asyncDispose]();
  });

  test('is a stream where several jobs would need more than there are', async () => {
    const planned = async () => (await bed.engine.planDump({ freeBytes: 1e12 }, never)).jobs;
    expect(await planned()).toBe(availableParallelism() < 2 ? 1 : 2);
    await createTables(101, MANY);
    expect(await planned()).toBe(1);
  });

  test('with BACKUP_JOBS is made all the same, by one after several', async () => {
    const request = bed.request();
    const dump = await bed.engineAs({}, 5000, 2).dump(request, never);
    expect(dump.archive.format).toBe('postgres-directory');
    expect(dump.tables).toHaveLength(MANY);
  });
});
