import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { serialiseManifest } from '../../src/core/archive/manifest-file.ts';
import type { S3Config } from '../../src/core/config/config.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import { sampleBackup } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';
import { TestPrefix } from '../support/s3.ts';
import {
  type Fault,
  type FaultRule,
  S3FaultProxy,
  type SeenRequest,
  s3Error,
} from '../support/s3-fault-proxy.ts';
import { testbed } from '../support/testbed.ts';

const MIB = 1024 ** 2;
const never = new AbortController().signal;
const isPart = ({ method, url }: SeenRequest) => method === 'PUT' && url.includes('partNumber=');
const isPart2 = (seen: SeenRequest) => isPart(seen) && seen.url.includes('partNumber=2');
const isCompletion = ({ method, url }: SeenRequest) =>
  method === 'POST' && url.includes('uploadId=');
const isArchivePut = ({ method, url }: SeenRequest) =>
  method === 'PUT' && !url.includes('partNumber') && url.includes('.dump.zst');
const isManifestPut = ({ method, url }: SeenRequest) => method === 'PUT' && url.includes('.json');
const isArchiveGet = ({ method, url }: SeenRequest) =>
  method === 'GET' && url.includes('.dump.zst');
const any = () => true;

describe.skipIf(!testbed.s3)('S3 store, with faults on the wire', () => {
  let proxy: S3FaultProxy;
  let prefix: TestPrefix;
  let folder: string;
  let store: S3Store;
  beforeAll(async () => {
    proxy = await S3FaultProxy.start(testbed.s3?.endpoint ?? '');
  });
  afterAll(() => proxy[Symbol.asyncDispose]());
  beforeEach(async () => {
    proxy.reset();
    prefix = new TestPrefix();
    folder = await mkdtemp(join(tmpdir(), 'dropback-s3-'));
    store = open();
  });
  afterEach(async () => {
    await store[Symbol.asyncDispose]();
    await prefix[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** Where a time-out isn't what is tried, a busy machine must not meet one. */
  function open(changes: Partial<S3Config> = {}, idleMs = 30_000): S3Store {
    return new S3Store(prefix.config({ endpoint: proxy.endpoint, ...changes }), 'app', {
      log: silentLogger(),
      timeouts: { connectMs: 20_000, idleMs },
      backoff: { firstMs: 10, mostMs: 50, attempts: 4 },
      upload: { smallestPartBytes: 5 * MIB, concurrency: 3 },
    });
  }

  const make = (bytes: number) => sampleBackup(join(folder, 'archive'), { bytes });
  const publishes = async (bytes: number, ...rules: FaultRule[]) => {
    const backup = await make(bytes);
    proxy.inject(...rules);
    await store.publish(backup.manifest, { path: backup.path }, never);
    expect((await store.list(never)).backups).toEqual([backup.manifest]);
    await store.fetch(backup.manifest, join(folder, 'fetched'), never);
    expect(proxy.fired).toBeGreaterThan(0);
    expect((await readFile(join(folder, 'fetched'))).equals(backup.content)).toBe(true);
  };
  const fails = async (bytes: number, ...rules: FaultRule[]) => {
    const backup = await make(bytes);
    proxy.inject(...rules);
    const failure = await failureOf(store.publish(backup.manifest, { path: backup.path }, never));
    expect(proxy.fired).toBeGreaterThan(0);
    proxy.reset();
    expect((await store.list(never)).backups).toEqual([]);
    expect(await unfinished()).toBe(0);
    return failure;
  };
  const unfinished = async () => {
    const input = { Bucket: prefix.bucket, Prefix: prefix.key('') };
    const page = await prefix.client.send(new ListMultipartUploadsCommand(input));
    return page.Uploads?.length ?? 0;
  };
  const answer = (status: number, code: string) =>
    ({ kind: 'answer', status, body: s3Error(code) }) as const;

  test('a reset in the middle of a part: that part is sent again', () =>
    publishes(12 * MIB, { when: isPart2, fault: { kind: 'reset', afterBytes: MIB } }));

  test.each([
    [500, 'InternalError'],
    [503, 'SlowDown'],
    [429, 'TooManyRequests'],
    [400, 'BadDigest'],
    [400, 'RequestTimeout'],
  ])('%i %s on a part: that part is sent again', (status, code) =>
    publishes(12 * MIB, { when: isPart2, fault: answer(status, code), times: 2 }),
  );

  const beImpatient = async () => {
    await store[Symbol.asyncDispose]();
    store = open({}, 2000);
  };

  test('an endpoint that hangs on a part: the time-out ends it, and it is sent again', async () => {
    await beImpatient();
    await publishes(12 * MIB, { when: isPart2, fault: { kind: 'hang' } });
  });

  test('a part that arrives as something else is sent again', () =>
    publishes(12 * MIB, {
      when: isPart2,
      fault: { kind: 'change-header', name: 'etag', value: `"${'0'.repeat(32)}"` },
    }));

  test('a wrong ETag every time: store/corrupt, nothing listed, nothing left', async () => {
    const fault = { kind: 'change-header', name: 'etag', value: `"${'0'.repeat(32)}"` } as const;
    expect((await fails(12 * MIB, { when: isPart, fault, times: 100 })).code).toBe('store/corrupt');
    expect((await fails(1000, { when: isArchivePut, fault, times: 100 })).code).toBe(
      'store/corrupt',
    );
    expect(await prefix.files()).toEqual([]);
  });

  test('500 without end: store/unreachable, retryable, the upload is given up', async () => {
    const failure = await fails(12 * MIB, {
      when: isPart2,
      fault: answer(500, 'InternalError'),
      times: 100,
    });
    expect(failure).toMatchObject({ code: 'store/unreachable', retryable: true });
  });

  test.each([
    [403, 'AccessDenied', 'store/refused', /s3:PutObject/],
    [403, 'RequestTimeTooSkewed', 'store/refused', /clock/],
    [403, 'SignatureDoesNotMatch', 'store/refused', /AWS_SECRET_ACCESS_KEY/],
    [404, 'NoSuchBucket', 'store/no-bucket', /S3_BUCKET/],
    [400, 'ExpiredToken', 'store/refused', /token/],
    [301, 'PermanentRedirect', 'store/refused', /S3_REGION/],
    [507, 'InsufficientCapacity', 'store/full', /room/],
    [507, 'XMinioStorageFull', 'store/full', /room/],
    [403, 'QuotaExceeded', 'store/full', /S3_KEEP_/],
  ])('%i %s is told once, with a hint', async (status, code, ours, hint) => {
    const fault = answer(status, code);
    const failure = await fails(1000, { when: isArchivePut, fault, times: 100 });
    expect(failure).toMatchObject({ code: ours, retryable: false });
    expect(failure.hint).toMatch(hint);
    expect(JSON.stringify(failure)).not.toContain(testbed.s3?.secretAccessKey);
  });

  test('404 for a part, as somebody gave up the upload: nothing listed, the next attempt is whole', async () => {
    const fault = answer(404, 'NoSuchUpload');
    const failure = await fails(12 * MIB, { when: isPart2, fault, times: 100 });
    expect(failure.code).toBe('store/not-found');
    const path = join(folder, 'archive');
    const { manifest } = await make(12 * MIB);
    await store.publish(manifest, { path }, never);
    expect((await store.list(never)).backups).toEqual([manifest]);
  });

  test('the answer to a completion is lost: the object is found and taken', () =>
    publishes(12 * MIB, { when: isCompletion, fault: { kind: 'lose-answer' } }));

  test('the answers to all completions are lost: the object is found and taken', () =>
    publishes(12 * MIB, { when: isCompletion, fault: { kind: 'lose-answer' }, times: 100 }));

  test('a completion that is answered 200 with an error in it is no success', async () => {
    const body = s3Error('InternalError');
    const fault = { kind: 'answer', status: 200, body } as const;
    const failure = await fails(12 * MIB, { when: isCompletion, fault, times: 100 });
    expect(failure.code).toBe('store/unreachable');
    proxy.reset();
    await rm(join(folder, 'archive'));
    await publishes(12 * MIB, { when: isCompletion, fault });
  });

  test('200 with an error in it, though the upload was completed: it is found', () =>
    publishes(12 * MIB, {
      when: isCompletion,
      fault: { kind: 'replace-answer', status: 200, body: s3Error('InternalError') },
    }));

  test('the answer to a single upload is lost: the object is recognised as ours', () =>
    publishes(1000, { when: isArchivePut, fault: { kind: 'lose-answer' } }));

  test('the answer to the manifest is lost: it is recognised as ours', () =>
    publishes(1000, { when: isManifestPut, fault: { kind: 'lose-answer' } }));

  /** As under keys of KMS at AWS: what an object's ETag is, nobody can tell beforehand. */
  const opaque = {
    when: ({ method }: SeenRequest) => method === 'HEAD',
    fault: { kind: 'change-header', name: 'etag', value: '"opaque"' },
    times: Number.POSITIVE_INFINITY,
  } as const;
  const readBack = () => proxy.seen.filter(isArchiveGet).length;

  test.each([
    ['in parts', 12 * MIB, isCompletion],
    ['in one piece', 1000, isArchivePut],
    ['the manifest', 1000, isManifestPut],
  ] as const)(
    '%s: the answer is lost, the ETag tells nothing: it is ours all the same',
    async (_, bytes, when) => {
      const backup = await make(bytes);
      proxy.inject({ when, fault: { kind: 'lose-answer' }, times: 3 }, { ...opaque });
      await store.publish(backup.manifest, { path: backup.path }, never);
      expect(proxy.fired).toBeGreaterThan(1);
      expect((await store.list(never)).backups).toEqual([backup.manifest]);
      // What was recorded with it is enough.
      expect(readBack()).toBe(0);
      await store.verify(backup.manifest, never);
    },
  );

  test('the manifest of another under an ETag that tells nothing is not taken for ours', async () => {
    const backup = await make(1000);
    const other = await sampleBackup(join(folder, 'other'), { bytes: 1000 });
    const key = `${backup.manifest.id}.json`;
    await prefix.put(key, serialiseManifest(other.manifest));
    // It came between our look and our write, which was tried twice.
    const isLook = ({ method, url }: SeenRequest) => method === 'HEAD' && url.includes('.json');
    proxy.inject(
      { when: isLook, fault: answer(404, 'NotFound') },
      { when: isManifestPut, fault: answer(500, 'InternalError') },
      { ...opaque },
    );
    const failure = await failureOf(store.publish(backup.manifest, { path: backup.path }, never));
    expect(proxy.seen.filter(isManifestPut)).toHaveLength(2);
    expect(failure.code).toBe('store/exists');
  });

  test('the manifest cannot be written: nothing listed, and the next attempt reuses the archive', async () => {
    const backup = await make(12 * MIB);
    proxy.inject({ when: isManifestPut, fault: answer(503, 'SlowDown'), times: 4 });
    await failureOf(store.publish(backup.manifest, { path: backup.path }, never));
    expect((await store.list(never)).backups).toEqual([]);
    proxy.reset();
    await store.publish(backup.manifest, { path: backup.path }, never);
    expect(proxy.seen.filter(isPart)).toEqual([]);
    expect((await store.list(never)).backups).toEqual([backup.manifest]);
  });

  test('an endpoint without conditional writes: looked at beforehand, then written without', async () => {
    const conditional = (seen: SeenRequest) => seen.headers['if-none-match'] === '*';
    const fault = answer(501, 'NotImplemented');
    await publishes(1000, { when: conditional, fault, times: 100 });
    const checks = await store.checks(never);
    expect(checks.filter(({ status }) => status === 'failed')).toEqual([]);
    expect(checks.find(({ id }) => id === 's3/conditional-writes')?.status).toBe('warning');
  });

  test('an endpoint that refuses checksums in trailers is never sent any', async () => {
    const hasTrailer = ({ headers }: SeenRequest) =>
      headers['x-amz-trailer'] !== undefined ||
      /aws-chunked/.test(`${headers['content-encoding']}`);
    const fault = answer(501, 'NotImplemented');
    proxy.inject({ when: hasTrailer, fault, times: 100 });
    for (const bytes of [1000, 12 * MIB]) {
      const at = new Date(Date.UTC(2026, 10, 22, 1, 0, bytes % 60));
      const backup = await sampleBackup(join(folder, `${bytes}`), { bytes, at });
      await store.publish(backup.manifest, { path: backup.path }, never);
    }
    expect((await store.list(never)).backups).toHaveLength(2);
    const puts = proxy.seen.filter(({ method }) => method === 'PUT');
    expect(puts.length).toBeGreaterThan(4);
    expect(puts.filter(({ headers }) => headers['content-md5'] === undefined)).toEqual([]);
    expect(proxy.fired).toBe(0);
  });

  test.each([
    ['cut', { kind: 'cut', afterBytes: MIB }],
    ['stalled', { kind: 'stall', afterBytes: MIB }],
  ] as const)('a download that is %s is taken up where it broke', async (kind, fault) => {
    if (kind === 'stalled') await beImpatient();
    await publishes(6 * MIB, { when: isArchiveGet, fault }, { when: isArchiveGet, fault });
    const ranges = proxy.seen.filter(isArchiveGet).map(({ headers }) => headers['range']);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1)).toHaveLength(2);
    for (const range of ranges.slice(1)) expect(range).toMatch(/^bytes=[1-9]\d+-$/);
  });

  test('a download that always breaks at once ends, and leaves no file', async () => {
    const backup = await make(MIB);
    await store.publish(backup.manifest, { path: backup.path }, never);
    proxy.inject({ when: isArchiveGet, fault: { kind: 'cut', afterBytes: 0 }, times: 100 });
    const failure = await failureOf(store.fetch(backup.manifest, join(folder, 'fetched'), never));
    expect(failure.code).toBe('store/unreachable');
    expect(await readdir(folder)).not.toContain('fetched');
  });

  test('with a limit it is no faster, and each part that is sent again counts', async () => {
    const most = 8_000_000;
    const bytes = 11 * MIB;
    await store[Symbol.asyncDispose]();
    store = open({ uploadBytesPerSecond: most });
    const begun = performance.now();
    await publishes(bytes, { when: isPart2, fault: { kind: 'reset', afterBytes: MIB } });
    const seconds = (performance.now() - begun) / 1000;
    // The publishing alone, with a tenth of a second's worth at once; the download isn't limited.
    expect(seconds * most).toBeGreaterThan(bytes + MIB - most / 10);
  });

  test('an abort ends a hanging call at once, and gives up the upload', async () => {
    const backup = await make(12 * MIB);
    const stop = new AbortController();
    proxy.inject({ when: isPart, fault: { kind: 'hang' }, times: 100 });
    const publishing = store.publish(backup.manifest, { path: backup.path }, stop.signal);
    publishing.catch(() => {});
    await expect.poll(() => proxy.fired, { timeout: 30_000 }).toBeGreaterThan(0);
    stop.abort();
    expect((await failureOf(publishing)).code).toBe('run/aborted');
    expect(await unfinished()).toBe(0);
  });

  test('more objects than fit one page are listed, and foreign ones are left alone', async () => {
    const backup = await make(1000);
    await store.publish(backup.manifest, { path: backup.path }, never);
    const names = Array.from({ length: 1005 }, (_, n) => `foreign/${n}`);
    for (let at = 0; at < names.length; at += 15) {
      await Promise.all(names.slice(at, at + 15).map((name) => prefix.put(name, Buffer.from('x'))));
    }
    const { backups, strays } = await store.list(never);
    expect(backups).toEqual([backup.manifest]);
    expect(strays).toHaveLength(1001);
    expect(strays.at(-1)?.reason).toBe('and perhaps more');
    await store.remove(backup.manifest, never);
    expect(await prefix.files()).toHaveLength(1005);
  });

  test('a removal that was cut short is finished by the next sweep', async () => {
    const backup = await make(1000);
    await store.publish(backup.manifest, { path: backup.path }, never);
    const isArchiveDelete = ({ method, url }: SeenRequest) =>
      method === 'DELETE' && url.includes('.dump.zst');
    proxy.inject({ when: isArchiveDelete, fault: answer(403, 'AccessDenied') });
    await failureOf(store.remove(backup.manifest, never));
    expect(await store.list(never)).toEqual({ backups: [], strays: [] });
    const report = await store.sweep(never);
    expect(report).toEqual({ abortedUploads: [], removed: [backup.manifest.id], warnings: [] });
    expect(await prefix.files()).toEqual([]);
  });

  test('where the bucket is full a removal needs no room', async () => {
    const backup = await make(1000);
    await store.publish(backup.manifest, { path: backup.path }, never);
    const isPut = ({ method }: SeenRequest) => method === 'PUT';
    proxy.inject({ when: isPut, fault: answer(403, 'QuotaExceeded'), times: 100 });
    await store.remove(backup.manifest, never);
    expect(proxy.fired).toBeGreaterThan(0);
    expect(await prefix.files()).toEqual([]);
  });

  const LIE = { kind: 'answer', status: 200, body: '' } as const;

  test.each([
    ['the archive', isArchivePut],
    ['the manifest', isManifestPut],
  ] as const)(
    'a write that is answered with 200 and not carried out is no success: %s',
    async (_, when) => {
      await fails(1000, { when, fault: LIE, times: 9 });
      await rm(join(folder, 'archive'));
      const { manifest, path } = await make(1000);
      // What the first attempt left is another archive's: it isn't touched.
      const next = { ...manifest, id: 'app_20261122T191501Z' };
      next.archive = { ...manifest.archive, file: 'app_20261122T191501Z.dump.zst' };
      await store.publish(next, { path }, never);
      await store.verify(next, never);
    },
  );

  test.each(['', '<html><body>sign in</body></html>', '<ListBucketResult></ListBucketResult>'])(
    'an answer that is no listing is not an empty bucket: %j',
    async (body) => {
      const fault = { kind: 'answer', status: 200, body } as const;
      proxy.inject({ when: any, fault, times: 100 });
      for (const ask of [() => store.list(never), () => store.ids(never)]) {
        expect(await failureOf(ask())).toMatchObject({
          code: 'store/unreachable',
          retryable: true,
        });
      }
      expect((await store.checks(never))[0]).toMatchObject({ id: 's3/list', status: 'failed' });
    },
  );

  test('a manifest whose size is not told beforehand is read', async () => {
    const backup = await make(1000);
    await store.publish(backup.manifest, { path: backup.path }, never);
    const isGet = ({ method, url }: SeenRequest) => method === 'GET' && url.includes('.json');
    proxy.inject({ when: isGet, fault: { kind: 'untold-size' }, times: 100 });
    expect((await store.list(never)).backups).toEqual([backup.manifest]);
  });

  test('nothing of a backup goes while its manifest stays', async () => {
    const backup = await make(1000);
    await store.publish(backup.manifest, { path: backup.path }, never);
    const isManifestDelete = ({ method, url }: SeenRequest) =>
      method === 'DELETE' && url.includes('.json?');
    proxy.inject({ when: isManifestDelete, fault: LIE, times: 9 });
    expect((await failureOf(store.remove(backup.manifest, never))).code).toBe('store/unreachable');
    await store.verify(backup.manifest, never);
    // Nor while nothing would tell which archive is to follow.
    proxy.reset();
    expect((await store.sweep(never)).removed).toEqual([]);
    proxy.inject({ when: isManifestPut, fault: LIE, times: 9 });
    expect((await failureOf(store.remove(backup.manifest, never))).code).toBe('store/not-found');
    await store.verify(backup.manifest, never);
    proxy.reset();
    await store.remove(backup.manifest, never);
    expect(await prefix.files()).toEqual([]);
  });

  test.each(
    Object.entries({
      'lost answer': { kind: 'lose-answer' },
      'error with 200, carried out': {
        kind: 'replace-answer',
        status: 200,
        body: s3Error('SlowDown'),
      },
      '200, not carried out': LIE,
      cut: { kind: 'cut', afterBytes: 10 },
      '404': answer(404, 'NotFound'),
      '403': answer(403, 'AccessDenied'),
    } satisfies Record<string, Fault>),
  )('%s, at whichever request of an upload: what is said to be uploaded is', async (_, fault) => {
    for (let nth = 0; ; nth++) {
      const at = new Date(Date.UTC(2026, 10, 22, 1, 0, nth));
      const path = join(folder, `archive-${nth}`);
      const { manifest } = await sampleBackup(path, { bytes: 1000, at });
      let count = 0;
      proxy.reset();
      proxy.inject({ when: () => count++ === nth, fault });
      const publish = () => store.publish(manifest, { path }, never);
      const isDone = await publish().then(
        () => true,
        () => false,
      );
      if (proxy.fired === 0) break;
      // As the daemon does it in its next round.
      if (!isDone) await publish().catch(() => store.confirm(manifest, never));
      await store.verify(manifest, never);
    }
    proxy.reset();
    expect((await store.list(never)).strays).toEqual([]);
  });

  test('an endpoint that is not there, a host without a name', async () => {
    await using down = open({ endpoint: 'http://127.0.0.1:9' });
    const refused = await failureOf(down.list(never));
    expect(refused).toMatchObject({ code: 'store/unreachable', retryable: true });
    await using lost = open({ endpoint: 'http://no-such-host.invalid' });
    const unknown = await failureOf(lost.list(never));
    expect(unknown).toMatchObject({ code: 'store/unreachable', retryable: true });
    expect(unknown.hint).toMatch(/DNS/);
    await using plain = open({ endpoint: proxy.endpoint.replace('http:', 'https:') });
    expect((await failureOf(plain.list(never))).hint).toMatch(/TLS/);
  });

  test('checks name what would fail', async () => {
    proxy.inject({
      when: ({ method }) => method === 'PUT',
      fault: answer(403, 'AccessDenied'),
      times: 9,
    });
    const checks = await store.checks(never);
    expect(checks.map(({ id, status }) => `${id} ${status}`)).toEqual([
      's3/list ok',
      's3/write failed',
    ]);
    proxy.reset();
    proxy.inject({ when: any, fault: answer(404, 'NoSuchBucket'), times: 9 });
    expect((await store.checks(never))[0]).toMatchObject({ id: 's3/list', status: 'failed' });
  });
});
