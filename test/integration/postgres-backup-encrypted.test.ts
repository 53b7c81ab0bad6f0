import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { unpack } from '../../src/core/archive/unpack.ts';
import { PostgresBackupEngine } from '../../src/core/engines/postgres/backup/engine.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import type { DropbackError } from '../../src/core/runtime/errors.ts';
import { capture } from '../../src/core/runtime/process/pipeline.ts';
import { newAgeKey } from '../support/age.ts';
import { failureOf } from '../support/failure.ts';
import { PlaintextWatch } from '../support/plaintext-watch.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never, until } from './postgres-backup-bed.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const key = newAgeKey();
const second = newAgeKey();
const marker = `marker-${randomBytes(16).toString('hex')}`;
let bed: BackupBed;

beforeAll(async () => {
  const server = servers.at(-1);
  if (!server) throw new Error('the test bed has no server');
  bed = await BackupBed.create(server);
  await bed.fill('filler', 5000);
  await bed.run(
    'CREATE TABLE public.customer (name text)',
    `INSERT INTO public.customer VALUES ('${marker}')`,
    'CREATE TABLE public.empty (i int)',
    'CREATE TABLE public.skipped AS SELECT generate_series(1, 10) AS i',
    `SELECT lo_from_bytea(0, 'x')`,
  );
});
afterAll(() => bed?.[Symbol.asyncDispose]());

function engine(recipients = [key.recipient, second.recipient], jobs?: number) {
  const maintenanceDatabase = 'postgres';
  const database = { kind: 'postgres', connection: bed.connection, maintenanceDatabase } as const;
  return new PostgresBackupEngine({
    database,
    clock: systemClock,
    lockWaitMs: 1000,
    jobs,
    recipients,
  });
}

test('what is encrypted was read whole; who has the key has every row', async () => {
  await using watch = new PlaintextWatch(marker, bed.folder);
  const request = bed.request();
  // Several jobs would need a folder on the disk.
  const it = engine(undefined, 2);
  const plan = await it.planDump({ freeBytes: Number.MAX_SAFE_INTEGER }, never);
  expect(plan).toEqual({ archiveExtension: '.dump.zst.age', jobs: 1 });
  const dump = await it.dump(request, never);
  const readBack = await it.readBack(request.spool, dump, never);
  expect(await watch.end()).toEqual([]);
  expect(dump.archive).toMatchObject({
    format: 'postgres-custom',
    compression: 'zstd',
    encryption: { method: 'age', recipients: [key.recipient, second.recipient] },
  });
  const byName = (tables: typeof dump.tables) =>
    tables.toSorted((a, b) => a.name.localeCompare(b.name));
  expect(byName(readBack.tables)).toEqual(byName(dump.tables));
  expect(dump.tables).toContainEqual({ schema: 'public', name: 'filler', rows: 5000 });
  expect(readBack.contentBytes).toBe(dump.archive.contentBytes);

  const workFolder = join(bed.folder, 'work');
  await mkdir(workFolder);
  for (const { identity } of [key, second]) {
    const drop = await unpack(
      {
        path: request.spool,
        fileName: `x${plan.archiveExtension}`,
        workFolder,
        sha256: dump.archive.sha256,
        force: false,
        identity,
      },
      never,
    );
    expect(drop).toMatchObject({ format: 'postgres-custom' });
    expect(drop.contentBytes).toBe(dump.archive.contentBytes);
    expect((await readFile(drop.path)).includes(marker)).toBe(true);
  }
  // The watch is no blind one.
  await using other = new PlaintextWatch(marker, workFolder);
  expect((await other.end()).length).toBe(2);
});

test('rows in the archive alone, and tables left out, are told without reading it again', async () => {
  const request = bed.request({ excludeTableData: ['skipped'] });
  const dump = await engine().dump(request, never);
  expect(dump.tables).toContainEqual({ schema: 'public', name: 'skipped', rows: 0 });
  await engine().readBack(request.spool, dump, never);
  const archive = bed.request({ rowCounts: 'archive' });
  const counted = await engine().dump(archive, never);
  expect(counted.tables).toEqual([]);
  const readBack = await engine().readBack(archive.spool, counted, never);
  expect(readBack.tables).toContainEqual({ schema: 'public', name: 'skipped', rows: 10 });
});

test('a changed byte, a missing end and another file are noticed without the key', async () => {
  const request = bed.request();
  const dump = await engine([key.recipient]).dump(request, never);
  const whole = await readFile(request.spool);
  const readBack = () => failureOf(engine([key.recipient]).readBack(request.spool, dump, never));
  await using file = await open(request.spool, 'r+');
  const at = whole.length >> 1;
  await file.write(Buffer.from([(whole[at] ?? 0) ^ 1]), 0, 1, at);
  expect((await readBack()).code).toBe('backup/read-back-mismatch');
  await writeFile(request.spool, whole.subarray(0, -1));
  expect((await readBack()).code).toBe('backup/read-back-mismatch');
  await writeFile(request.spool, 'hello');
  expect((await readBack()).facts['differences']).toContain(
    'a version of age that is not known here',
  );
  await writeFile(request.spool, whole);
  const more = { method: 'age', recipients: ['a', 'b'] } as const;
  const claimed = { ...dump, archive: { ...dump.archive, encryption: more } };
  const error = await failureOf(engine().readBack(request.spool, claimed, never));
  expect(error.facts['differences']).toEqual(['it is encrypted to 1 recipients instead of 2']);
});

test('a table that the archive has more rows of than were counted is no backup', async () => {
  const request = bed.request();
  const dump = await engine().dump(request, never);
  const tables = dump.tables.map((table) => ({ ...table, rows: table.rows + 1 }));
  const error = await failureOf(engine().readBack(request.spool, { ...dump, tables }, never));
  expect(error.code).toBe('backup/read-back-mismatch');
});

test('a recipient that age refuses is told in its words, and nothing is stored', async () => {
  const request = bed.request();
  const error = await failureOf(engine([`${key.recipient}x`]).dump(request, never));
  expect(error).toMatchObject({ code: 'backup/not-encrypted' });
  expect(error.message).toContain('malformed recipient');
  expect(error.hint).toContain('BACKUP_AGE_RECIPIENTS');
  expect((await readFile(request.spool)).length).toBe(0);
});

test('the failure of pg_dump is what is told, not what it does to the others', async () => {
  const request = bed.request();
  await using locker = await bed.open();
  await locker.query('BEGIN');
  await locker.query('LOCK TABLE public.customer IN ACCESS EXCLUSIVE MODE');
  const error = await failureOf(engine().dump(request, never));
  expect(error).toMatchObject({ code: 'backup/locked', retryable: true });
});

test('the death of whoever reads it on the way ends the dump, and is told', async () => {
  let error = await killedReader();
  // A dump that was over before the reader was found says nothing.
  for (let again = 0; error === undefined && again < 20; again++) error = await killedReader();
  expect(error).toMatchObject({ code: 'archive/unreadable' });
  expect(error?.message).toContain('stream-counter');
});

/** The error of a dump whose reader was killed; undefined where it was not met any more. */
async function killedReader(): Promise<DropbackError | undefined> {
  let isOver = false;
  const running = engine()
    .dump(bed.request(), never)
    .then(
      () => undefined,
      (error: DropbackError) => error,
    )
    .finally(() => {
      isOver = true;
    });
  const args = ['-f', '-P', String(process.pid), '/stream-counter[.](ts|js) '];
  const pgrep = { name: 'pgrep', file: '/usr/bin/pgrep', args, successCodes: [0, 1] };
  while (!isOver) {
    const [pid = ''] = (await capture(pgrep, { signal: never })).split('\n');
    if (pid === '') continue;
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has just ended: the dump says whether in time.
    }
    break;
  }
  return await running;
}

test('an aborted dump leaves neither programs nor its FIFO', async () => {
  const folder = join(bed.folder, 'temporary');
  await mkdir(folder);
  vi.stubEnv('TMPDIR', folder);
  try {
    const controller = new AbortController();
    const running = failureOf(engine().dump(bed.request(), controller.signal));
    await until(async () => ((await readdir(folder)).length > 0 ? true : undefined));
    controller.abort();
    expect((await running).code).toBe('run/aborted');
    expect(await readdir(folder)).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
  }
});
