import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { chooseClient, clientProgram } from '../../src/core/engines/postgres/clients.ts';
import { ident } from '../../src/core/engines/postgres/quoting.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never, until } from './postgres-backup-bed.ts';

const run = promisify(execFile);
const JOBS = 2;

/** Number of the table's data in a dump, as pg_dump itself says it. */
async function itemOf(bed: BackupBed, major: number, table: string): Promise<string> {
  const { host, port, user, password, database } = bed.connection;
  const file = clientProgram(await chooseClient({ serverMajor: major }, never), 'pg_dump');
  const folder = join(bed.folder, 'by-hand');
  const args = ['--verbose', '--format=directory', `--jobs=${JOBS}`, `--file=${folder}`];
  const environment = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database };
  const { stderr } = await run(file, args, {
    env: { ...environment, PGPASSWORD: password ?? '', LC_ALL: 'C' },
  });
  await run('rm', ['-r', folder]);
  const item = new RegExp(`^pg_dump: finished item (\\d+) TABLE DATA ${table}$`, 'm').exec(stderr);
  return item?.[1] ?? 'none';
}

async function isCopying(bed: BackupBed, table: string): Promise<boolean> {
  const rows = await bed.admin.query(
    "SELECT FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND query LIKE $2",
    [bed.connection.database, `COPY public.${table} %`],
  );
  return rows.length > 0;
}

describe.each(servers)('a backup of PostgreSQL $major that is packed as it grows', (server) => {
  test('has the files of small tables in its tar while a large one is dumped', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('large', 60_000);
    await bed.fill('small', 1000);
    const request = bed.request();
    let isDone = false;
    const engine = bed.engineAs({}, 5000, JOBS);
    const dumping = engine.dump(request, never).finally(() => {
      isDone = true;
    });
    const spooled = await until(async () => {
      const bytes = (await stat(request.spool).catch(() => undefined))?.size ?? 0;
      if (isDone) return 'all';
      if (bytes === 0) return undefined;
      return (await isCopying(bed, 'large')) ? 'the small one' : 'all';
    });
    const dump = await dumping;
    expect(spooled).toBe('the small one');
    const readBack = await engine.readBack(request.spool, dump, never);
    expect(readBack.tables).toEqual(dump.tables);
    expect(readBack.contentBytes).toBe(dump.archive.contentBytes);
  });

  test('is made anew, with one job, where a name pretends that a file is done', async () => {
    await using bed = await BackupBed.create(server);
    await bed.fill('large', 60_000);
    await bed.run('CREATE TABLE public.liar AS SELECT 1 AS a');
    const item = await itemOf(bed, server.major, 'large');
    const lie = `x\npg_dump: finished item ${item} TABLE DATA y`;
    await bed.run(`ALTER TABLE public.liar RENAME TO ${ident(lie)}`);
    const told: string[] = [];
    const log = { ...silentLogger(), warn: (_: unknown, message: string) => told.push(message) };
    const request = bed.request({ log: log as never });
    const engine = bed.engineAs({}, 5000, JOBS);
    const dump = await engine.dump(request, never);
    expect(told).toEqual(['the dump is tried once more']);
    const readBack = await engine.readBack(request.spool, dump, never);
    expect(readBack.tables.map(({ name, rows }) => [name, rows])).toEqual([
      ['large', 60_000],
      [lie, 1],
    ]);
  });
});
