import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { chooseClient, clientProgram } from '../../src/core/engines/postgres/clients.ts';
import { ident, qualified } from '../../src/core/engines/postgres/quoting.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { HoldingProxy } from '../support/holding-proxy.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never, until } from './postgres-backup-bed.ts';

const run = promisify(execFile);
const JOBS = 2;
/** More than pg_dump reads of the catalogs. */
const HELD_BYTES = 4_000_000;
/** About as many bytes of `BackupBed.fill`. */
const rows = (bytes: number) => Math.ceil(bytes / 1024);

/** Number of the table's data in a dump, as pg_dump itself says it. */
async function itemOf(bed: BackupBed, major: number, table: string): Promise<string> {
  const { host, port, user, password, database } = bed.connection;
  const file = clientProgram(await chooseClient({ serverMajor: major }, never), 'pg_dump');
  const folder = join(bed.folder, 'by-hand');
  const args = [
    '--verbose',
    '--format=directory',
    `--jobs=${JOBS}`,
    '--compress=0',
    `--file=${folder}`,
  ];
  const environment = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database };
  const { stderr } = await run(file, args, {
    env: { ...environment, PGPASSWORD: password ?? '', LC_ALL: 'C' },
  });
  await run('rm', ['-r', folder]);
  const item = new RegExp(`^pg_dump: finished item (\\d+) TABLE DATA ${table}$`, 'm').exec(stderr);
  return item?.[1] ?? 'none';
}

/** Behind a proxy that holds each of its connections after some bytes. */
const engineBehind = (bed: BackupBed, proxy: HoldingProxy) =>
  bed.engineAs({ host: '127.0.0.1', port: proxy.port }, 5000, JOBS);

describe.each(servers)('a backup of PostgreSQL $major that is packed as it grows', (server) => {
  test('has the files of small tables in its tar while a large one is dumped', async () => {
    await using bed = await BackupBed.create(server);
    await using proxy = await HoldingProxy.start(server);
    await bed.fill('large', rows(2 * HELD_BYTES));
    await bed.fill('small', 100);
    const request = bed.request();
    const engine = engineBehind(bed, proxy);
    proxy.holdEach(HELD_BYTES);
    const dumping = engine.dump(request, never);
    await until(async () => {
      const { size } = await stat(request.spool).catch(() => ({ size: 0 }));
      return size > 0 || undefined;
    });
    proxy.release();
    const dump = await dumping;
    const readBack = await engine.readBack(request.spool, dump, never);
    expect(readBack.tables).toEqual(dump.tables);
    expect(readBack.contentBytes).toBe(dump.archive.contentBytes);
  });

  test('is made anew, with one job, where a name pretends that a file is done', async () => {
    await using bed = await BackupBed.create(server);
    await using proxy = await HoldingProxy.start(server);
    await bed.fill('large', rows(5 * HELD_BYTES));
    await bed.fill('liar', rows(HELD_BYTES) + 1);
    const item = await itemOf(bed, server.major, 'large');
    const lie = `x\npg_dump: finished item ${item} TABLE DATA y`;
    await bed.run(`ALTER TABLE public.liar RENAME TO ${ident(lie)}`);
    const told: string[] = [];
    const log = { ...silentLogger(), warn: (_: unknown, message: string) => told.push(message) };
    const request = bed.request({ log: log as never });
    const engine = engineBehind(bed, proxy);
    proxy.holdEach(HELD_BYTES);
    const dumping = engine.dump(request, never);
    // Both have begun: when the liar is done, far more than its rest of the other is still to come.
    await until(() => proxy.still >= JOBS || undefined);
    proxy.release();
    const dump = await dumping;
    expect(told).toEqual(['the dump is tried once more']);
    const readBack = await engine.readBack(request.spool, dump, never);
    expect(readBack.tables.map((table) => [table.name, table.rows])).toEqual([
      ['large', rows(5 * HELD_BYTES)],
      [lie, rows(HELD_BYTES) + 1],
    ]);
  });

  test('is made anew, and good, where a name pretends that pg_dump has failed', async () => {
    await using bed = await BackupBed.create(server);
    const lie = 'x\npg_dump: error: y';
    await bed.run(`CREATE TABLE ${qualified('public', lie)} AS SELECT 1 AS a`);
    const request = bed.request();
    const engine = bed.engineAs({}, 5000, JOBS);
    const dump = await engine.dump(request, never);
    expect(dump.warnings).toEqual([]);
    const readBack = await engine.readBack(request.spool, dump, never);
    expect(readBack.tables).toEqual([{ schema: 'public', name: lie, rows: 1 }]);
  });
});
