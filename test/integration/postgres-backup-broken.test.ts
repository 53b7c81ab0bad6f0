import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { RunProgress } from '../../src/backup/run.ts';
import { serialiseManifest } from '../../src/core/archive/manifest-file.ts';
import { connect } from '../../src/core/engines/postgres/connection.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { sha256Program } from '../../src/core/runtime/process/sha256.ts';
import { failureOf } from '../support/failure.ts';
import { ownPrograms, PostgresRunBed } from '../support/postgres-run-bed.ts';
import { PrivatePostgres } from '../support/private-postgres.ts';
import { canMount, SmallDisk } from '../support/small-disk.ts';
import { servers, type TestServer, testbed } from '../support/testbed.ts';
import { never, until } from './postgres-backup-bed.ts';

const server = servers.at(-1) as TestServer;
const like = testbed.postgres15;
/** Which of the two there is. */
const checksum = sha256Program().name;
const ROWS = 2000;
// A server of its own is made for one of them.
vi.setConfig({ testTimeout: 300_000 });
/** Half of what the server sends for those rows, about 1 KiB each. */
const HALF = (ROWS * 1024) / 2;

describe.skipIf(!server)('a run that is broken off half-way', () => {
  let bed: PostgresRunBed;
  beforeAll(async () => {
    bed = await PostgresRunBed.create(server);
    await bed.bed.fill('t', ROWS);
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  /** A run whose dump stands still at its middle; `failure` is how it will end. */
  async function halfWay(extra: Readonly<Record<string, string>> = {}) {
    const onProgress = ({ step }: RunProgress) => {
      if (step === 'dump') bed.proxy.holdAfter(HALF);
    };
    const failure = failureOf(bed.run(extra).execute(never, onProgress));
    await until(() => ownPrograms().find(({ name }) => name === 'pg_dump'));
    await bed.proxy.held;
    return { failure };
  }

  async function expectNothingLeft() {
    bed.proxy.release();
    expect(ownPrograms().filter(({ name }) => name !== 'node')).toEqual([]);
    expect(await bed.files()).toEqual([]);
  }

  test.each([
    ['pg_dump', 'SIGKILL', '2'],
    // It cancels its queries, and exits with 1.
    ['pg_dump', 'SIGTERM', '2'],
    // It waits for tar, which waits for names of files.
    [checksum, 'SIGKILL', '2'],
    ['pg_dump', 'SIGKILL', '1'],
    ['pg_dump', 'SIGTERM', '1'],
    // What writes into them dies of a closed pipe; they are the cause.
    ['zstd', 'SIGKILL', '1'],
    ['tee', 'SIGKILL', '1'],
    [checksum, 'SIGKILL', '1'],
  ] as const)('%s is ended by %s, %s jobs', async (program, signal, BACKUP_JOBS) => {
    const { failure } = await halfWay({ BACKUP_JOBS });
    const victim = await until(() => ownPrograms().find(({ name }) => name === program));
    process.kill(victim.pid, signal);
    // What the others wait for comes; that must not turn half a dump into a whole one.
    bed.proxy.release();
    expect(await failure).toMatchObject({ code: 'tool/failed', facts: { program } });
    await expectNothingLeft();
  });

  test('a tar that is killed while it waits for files ends a pg_dump that hangs', async () => {
    const { failure } = await halfWay({ BACKUP_JOBS: '2' });
    const tar = await until(() => ownPrograms().find(({ name }) => name === 'tar'));
    process.kill(tar.pid, 'SIGKILL');
    expect(await failure).toMatchObject({ code: 'tool/failed', facts: { program: 'tar' } });
    await expectNothingLeft();
  });

  test('a server that hangs: ended by BACKUP_TIMEOUT_SECONDS', async () => {
    const { failure } = await halfWay({ BACKUP_TIMEOUT_SECONDS: '5' });
    expect(await failure).toMatchObject({ code: 'backup/timed-out' });
    await expectNothingLeft();
  });

  test.each(['taking the lock', 'backup started'])(
    'a server that hangs before anything is dumped (%s): the same',
    async (at) => {
      const hang = (said: string | undefined) => {
        if (said === at) bed.proxy.holdAfter(0);
      };
      const log = Object.assign(Object.create(silentLogger()), {
        info: (_: unknown, said?: string) => hang(said),
      });
      // With a remote store the size of the database is asked for first.
      const startEarlyUpload = () => expect.fail('the server does not answer');
      const run = bed.run({ BACKUP_TIMEOUT_SECONDS: '2' }, { log, startEarlyUpload });
      const failure = failureOf(run.execute(never, ({ message }) => hang(message)));
      expect(await failure).toMatchObject({ code: 'backup/timed-out' });
      await expectNothingLeft();
    },
  );

  test('a statement with a limit of time, to a server that hangs, is as to one that is away', async () => {
    const connection = { ...bed.bed.connection, port: bed.proxy.port };
    const options = { applicationName: 'test', signal: never, statementTimeoutMs: 500 };
    await using session = await connect(connection, options);
    bed.proxy.holdAfter(0);
    const error = await failureOf(session.query('SELECT 1'));
    expect(error).toMatchObject({ code: 'database/unreachable', retryable: true });
    expect(error.message).toContain('has not answered for 1.5 s');
    bed.proxy.release();
  });

  test('the next run is good', async () => {
    const { manifest } = await bed.run().execute(never);
    expect(await bed.verified()).toEqual([manifest]);
    expect(manifest.tables).toEqual([{ schema: 'public', name: 't', rows: ROWS }]);
  });
});

const isOurs = like !== undefined && existsSync(join(like.binDir, 'initdb'));

describe.skipIf(!isOurs)('a server that is restarted during a run', () => {
  test('the run fails, nothing is left, and the next one is good', async () => {
    await using own = await PrivatePostgres.create(like as TestServer);
    const bed = await PostgresRunBed.create(own.server);
    try {
      await bed.bed.fill('t', ROWS);
      const onProgress = ({ step }: RunProgress) => {
        if (step === 'dump') bed.proxy.holdAfter(HALF);
      };
      const failure = failureOf(bed.run().execute(never, onProgress));
      await bed.proxy.held;
      await own.crash();
      bed.proxy.release();
      await own.start();
      expect(await failure).toMatchObject({ code: 'database/unreachable', retryable: true });
      expect(await bed.files()).toEqual([]);
      const { manifest } = await bed.run().execute(never);
      expect(await bed.verified()).toEqual([manifest]);
    } finally {
      // Its own session ended with the server, which goes as a whole.
      await bed[Symbol.asyncDispose]().catch(() => {});
      await rm(bed.bed.folder, { recursive: true, force: true });
    }
  });
});

describe.skipIf(!server || !canMount)('a volume that gets full during a run', () => {
  let disk: SmallDisk;
  let bed: PostgresRunBed;
  /** Of the archive of a run that had space enough. */
  let bytes: number;
  let manifestPages: number;
  beforeAll(async () => {
    disk = new SmallDisk(16);
    bed = await PostgresRunBed.create(server, disk.path);
    await bed.bed.fill('t', ROWS);
    const { manifest } = await bed.run().execute(never);
    bytes = manifest.archive.bytes;
    manifestPages = 4096 * Math.ceil(serialiseManifest(manifest).length / 4096);
    await bed.forget(manifest);
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
    disk[Symbol.dispose]();
  });

  test.each([1, 50, 99])('at %i percent of the archive', async (percent) => {
    disk.fill(Math.floor((bytes * percent) / 100));
    expect(await failureOf(bed.run().execute(never))).toMatchObject({ code: 'disk/full' });
    expect(await bed.files()).toEqual([]);
    disk.free();
    const { manifest } = await bed.run().execute(never);
    expect(await bed.verified()).toEqual([manifest]);
    await bed.forget(manifest);
  });

  // Of the folder, then of the tar that it is packed into.
  test.each([50, 150])('with two jobs, at %i percent of the archive', async (percent) => {
    disk.fill(Math.floor((bytes * percent) / 100));
    const failure = await failureOf(bed.run({ BACKUP_JOBS: '2' }).execute(never));
    expect(failure).toMatchObject({ code: 'disk/full' });
    expect(await bed.files()).toEqual([]);
    disk.free();
  });

  test('at the manifest', async () => {
    const onProgress = ({ step }: RunProgress) => {
      if (step === 'publish') disk.fill();
    };
    const failure = await failureOf(bed.run().execute(never, onProgress));
    expect(failure).toMatchObject({ code: 'disk/full' });
    expect(await bed.files()).toEqual([]);
    disk.free();
  });

  test('after the manifest: the backup is listed, though its state can not be noted', async () => {
    const onProgress = ({ step }: RunProgress) => {
      // The manifest's pages alone.
      if (step === 'publish') disk.fill(manifestPages);
    };
    const { manifest } = await bed.run().execute(never, onProgress);
    expect(await bed.verified()).toEqual([manifest]);
    const { verifications } = await bed.local.readState(manifest.id);
    expect(verifications).toEqual([]);
    disk.free();
    await bed.forget(manifest);
  });
});
