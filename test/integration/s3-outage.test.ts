import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BackupDaemon } from '../../src/backup/daemon.ts';
import { earlyUploads } from '../../src/backup/early-upload.ts';
import { Rehearsals } from '../../src/backup/verify/rehearsal.ts';
import { Verifier } from '../../src/backup/verify/verifier.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { withS3Upload } from '../../src/core/archive/state-file.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { openBackupEngine } from '../../src/core/engines/open-backup-engine.ts';
import { openRehearsalEngine } from '../../src/core/engines/open-rehearsal-engine.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { backupHealth } from '../../src/core/requests/backup-status.ts';
import { Catalogue } from '../../src/core/stores/catalogue.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import { sampleBackup } from '../support/backups.ts';
import { TestPrefix } from '../support/s3.ts';
import { S3FaultProxy, s3Error } from '../support/s3-fault-proxy.ts';
import { SqliteStack, s3Environment } from '../support/sqlite-stack.ts';
import { SteppedClock } from '../support/stepped-clock.ts';
import { testbed } from '../support/testbed.ts';

const never = new AbortController().signal;
const HOUR_MS = 3_600_000;
/** Of real time, for programs on a busy machine. */
const LONG_MS = 120_000;
const { s3 } = testbed;

/** A daemon that backs up every four hours, keeps one backup, and whose S3 is behind a proxy. */
async function create(
  resources: AsyncDisposableStack,
  more: Readonly<Record<string, string>> = {},
) {
  if (!s3) throw new Error('the test bed has no S3 endpoint');
  const prefix = resources.use(new TestPrefix());
  const proxy = resources.use(await S3FaultProxy.start(s3.endpoint));
  const stack = resources.use(await SqliteStack.create());
  const clock = new SteppedClock();
  const config = parseBackupConfig(
    stack.environment({
      ...s3Environment(s3, prefix.prefix, proxy.endpoint),
      BACKUP_INTERVAL_SECONDS: '14400',
      BACKUP_KEEP_LAST: '1',
      BACKUP_KEEP_DAILY: '0',
      BACKUP_KEEP_WEEKLY: '0',
      BACKUP_KEEP_MONTHLY: '0',
      ...more,
    }),
  );
  const log = silentLogger();
  const shared = { clock, log };
  const engine = resources.use(await openBackupEngine(config.database, shared));
  const dump = engine.dump.bind(engine);
  // The process that copies the file knows the time of the machine alone.
  engine.dump = async (request, signal) => {
    return { ...(await dump(request, signal)), snapshotAt: clock.now().toISOString() };
  };
  const folder = stack.bench.path('own');
  const rehearsal = resources.use(await openRehearsalEngine(config, { folder, ...shared }));
  const local = new LocalStore(stack.bench.path('backups', 'app'), 'app');
  const remote = resources.use(
    new S3Store(prefix.config({ endpoint: proxy.endpoint }), 'app', {
      log,
      timeouts: { connectMs: 20_000, idleMs: 30_000 },
      backoff: { firstMs: 1, mostMs: 5, attempts: 2 },
    }),
  );
  const { queries } = config.verify;
  const { timeoutMs, name } = config;
  const rehearsals = new Rehearsals({ engine: rehearsal, local, folder, queries, timeoutMs, log });
  const catalogue = new Catalogue(local, remote, clock);
  const daemon = new BackupDaemon({
    ...{ config, engine, local, remote, clock, log, version: '0.0.0' },
    startEarlyUpload: earlyUploads(local, remote, clock),
    verifier: new Verifier({ name, local, remote, catalogue, rehearsals, ...shared }),
  });
  return { daemon, clock, proxy, local, remote, prefix, root: stack.bench.path() };
}

test.skipIf(!s3)(
  'S3 is away for a day: backups go on, nothing is pruned, all drains in order',
  {
    timeout: 900_000,
  },
  async () => {
    await using resources = new AsyncDisposableStack();
    const { daemon, clock, proxy, local, prefix } = await create(resources);
    const stop = new AbortController();
    const listed = async () => (await local.list(never)).backups.map(({ id }) => id);
    const health = () => backupHealth(daemon.status(), clock.now());
    const isIdle = () => daemon.status().state === 'idle';
    const serving = daemon.serve(stop.signal);
    try {
      await clock.until('the first backup', async () => (await listed()).length === 1, LONG_MS);
      await clock.until('its upload', async () => (await prefix.files()).length === 2, LONG_MS);
      await clock.until('its end', isIdle, LONG_MS);
      expect(health()).toBe('healthy');
      const [first = ''] = await listed();

      const body = s3Error('SlowDown');
      const times = Number.POSITIVE_INFINITY;
      proxy.inject({ when: () => true, fault: { kind: 'answer', status: 503, body }, times });
      for (let run = 1; run <= 6; run++) {
        await clock.advance(4 * HOUR_MS);
        const isDone = async () => isIdle() && (await listed()).length === 1 + run;
        await clock.until(`backup ${run}`, isDone, LONG_MS);
        const isTold = () => daemon.status().lastUploadError !== undefined;
        await clock.until('the failed upload', isTold, LONG_MS);
        expect(health()).toBe('degraded');
        expect(daemon.status().failuresSinceGood).toBe(0);
      }
      const waiting = (await listed()).filter((id) => id !== first);
      expect(waiting).toHaveLength(6);
      expect(await prefix.files()).toHaveLength(2);

      proxy.reset();
      // It is asked again after an hour at most; what was asked just before it came back may fail yet.
      const isDrained = async () => (await listed()).length === 1;
      await clock.advance(HOUR_MS);
      await clock.until('all to drain', isDrained, LONG_MS / 4).catch(() => clock.advance(HOUR_MS));
      await clock.until('all to drain', isDrained, LONG_MS);
      const manifests = proxy.seen
        .filter(({ method, url }) => method === 'PUT' && url.includes('.json?'))
        .map(({ url }) => /app_\w+Z(?=\.json\?)/.exec(url)?.[0]);
      expect(manifests).toEqual(waiting);
      expect(await listed()).toEqual(waiting.slice(-1));
      // Parts that an outage left cost money: they are looked for every day, not at a start alone.
      const isTidied = () =>
        proxy.seen.some(({ method, url }) => method === 'GET' && /[?&]uploads(=|&|$)/.test(url));
      await clock.until('the bucket to be tidied', isTidied, LONG_MS);
      await clock.until('no backlog', () => daemon.status().uploadBacklog === 0, LONG_MS);
      expect(health()).toBe('healthy');
    } finally {
      stop.abort();
      await serving;
    }
  },
);

test.skipIf(!s3)(
  'an upload that `dropback backup` could not do, or left in the middle, is taken over',
  { timeout: 900_000 },
  async () => {
    await using resources = new AsyncDisposableStack();
    const { daemon, clock, local, prefix, root } = await create(resources);
    const stop = new AbortController();
    const serving = daemon.serve(stop.signal);
    const isThere = async ({ id }: Manifest) => (await prefix.files()).includes(`${id}.json`);
    /** What the command line leaves, besides what it says of the upload. */
    const makeByHand = async () => {
      await clock.advance(60_000);
      const source = join(root, 'by-hand');
      const { manifest } = await sampleBackup(source, { at: clock.now(), bytes: 1000 });
      await local.publish(manifest, { path: source }, never);
      return manifest;
    };
    try {
      await clock.until('the first upload', async () => (await prefix.files()).length > 1, LONG_MS);
      await clock.until('its end', () => daemon.status().state === 'idle', LONG_MS);
      const failed = await makeByHand();
      const upload = { status: 'failed', target: 'whatever', at: clock.now() } as const;
      await local.updateState(failed.id, (state) => withS3Upload(state, upload));
      await clock.advance(31_000);
      await clock.until('the failed upload', () => isThere(failed), LONG_MS);
      const killed = await makeByHand();
      await clock.advance(31_000);
      await clock.until(
        'it to be noticed',
        () => daemon.status().lastGood?.id === killed.id,
        LONG_MS,
      );
      // For an hour whoever made it may be at it.
      await clock.advance(HOUR_MS);
      await clock.until('the upload left undone', () => isThere(killed), LONG_MS);
    } finally {
      stop.abort();
      await serving;
    }
  },
);

test.skipIf(!s3)(
  'the bucket is full: what retention lets go there makes room for what waits',
  { timeout: 900_000 },
  async () => {
    await using resources = new AsyncDisposableStack();
    const { daemon, clock, proxy, local, remote, prefix, root } = await create(resources, {
      S3_KEEP_LAST: '1',
      S3_KEEP_DAILY: '0',
      S3_KEEP_WEEKLY: '0',
      S3_KEEP_MONTHLY: '0',
    });
    for (const hoursAgo of [48, 24, 12]) {
      const path = join(root, `${hoursAgo}`);
      const at = new Date(clock.now().getTime() - hoursAgo * HOUR_MS);
      const { manifest } = await sampleBackup(path, { at, bytes: 1000 });
      await (hoursAgo > 12 ? remote : local).publish(manifest, { path }, never);
    }
    const isRemoved = () =>
      proxy.seen.some(({ method, url }) => method === 'DELETE' && url.includes('.dump.zst'));
    proxy.inject({
      when: ({ method }) => method === 'PUT' && !isRemoved(),
      fault: { kind: 'answer', status: 403, body: s3Error('QuotaExceeded') },
      times: Number.POSITIVE_INFINITY,
    });
    const stop = new AbortController();
    const serving = daemon.serve(stop.signal);
    const inBucket = async () => (await remote.list(never)).backups.map(({ id }) => id);
    try {
      const isTold = () => daemon.status().lastUploadError?.code === 'store/full';
      await clock.until('the failed upload', isTold, LONG_MS);
      expect(backupHealth(daemon.status(), clock.now())).toBe('degraded');
      await clock.until('room', isRemoved, LONG_MS);
      await clock.until('its own backup', () => daemon.status().lastGood !== undefined, LONG_MS);
      await clock.advance(61_000);
      const own = daemon.status().lastGood?.id ?? '';
      await clock.until('the upload', async () => (await inBucket()).includes(own), LONG_MS);
      await clock.until('retention', async () => (await prefix.files()).length === 2, LONG_MS);
      await clock.until('no error', () => !daemon.status().lastUploadError, LONG_MS);
    } finally {
      stop.abort();
      await serving;
    }
  },
);
