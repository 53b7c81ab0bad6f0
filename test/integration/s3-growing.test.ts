import { createHash, randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ListMultipartUploadsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Throttle } from '../../scripts/bench/throttle.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { type Clock, systemClock } from '../../src/core/runtime/clock.ts';
import { fileGrowth } from '../../src/core/stores/s3/file-growth.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import { sampleManifest } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';
import { TestPrefix } from '../support/s3.ts';
import { S3FaultProxy, type SeenRequest, s3Error } from '../support/s3-fault-proxy.ts';
import { testbed } from '../support/testbed.ts';

const MIB = 1024 ** 2;
const never = new AbortController().signal;
const isPart = ({ method, url }: SeenRequest) => method === 'PUT' && url.includes('partNumber=');

describe.skipIf(!testbed.s3)('upload of an archive that is still being written', () => {
  let proxy: S3FaultProxy;
  let prefix: TestPrefix;
  let folder: string;
  let spool: string;
  let store: S3Store;
  beforeAll(async () => {
    proxy = await S3FaultProxy.start(testbed.s3?.endpoint ?? '');
  });
  afterAll(() => proxy[Symbol.asyncDispose]());
  beforeEach(async () => {
    proxy.reset();
    prefix = new TestPrefix();
    folder = await mkdtemp(join(tmpdir(), 'dropback-s3-'));
    spool = join(folder, 'archive.partial');
    store = open();
  });
  afterEach(async () => {
    await store[Symbol.asyncDispose]();
    await prefix[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function open(
    clock: Clock = systemClock,
    log = silentLogger(),
    endpoint = proxy.endpoint,
  ): S3Store {
    return new S3Store(prefix.config({ endpoint }), 'app', {
      log,
      clock,
      // Nothing here waits for them: a busy machine must not.
      timeouts: { connectMs: 20_000, idleMs: 30_000 },
      backoff: { firstMs: 10, mostMs: 50, attempts: 3 },
      upload: { smallestPartBytes: 5 * MIB, concurrency: 2 },
    });
  }

  /** Writes the content in pieces while the upload runs; resolves when the last one is written. */
  function grow(content: Buffer, pieceBytes: number) {
    const write = async () => {
      await writeFile(spool, '');
      for (let at = 0; at < content.length; at += pieceBytes) {
        await appendFile(spool, content.subarray(at, at + pieceBytes));
        await delay(20);
      }
    };
    const done = write();
    const manifest = sampleManifest(content);
    const source = { path: spool, growth: fileGrowth(spool, done, systemClock, never) };
    const growing = store.beginGrowing(manifest.archive.file, source, never, 100 * MIB);
    return { done, manifest, growing };
  }

  const unfinished = async () => {
    const input = { Bucket: prefix.bucket, Prefix: prefix.key('') };
    return (await prefix.client.send(new ListMultipartUploadsCommand(input))).Uploads ?? [];
  };
  const confirm = async (content: Buffer) => {
    const manifest = sampleManifest(content);
    expect((await store.list(never)).backups).toEqual([manifest]);
    await store.fetch(manifest, join(folder, 'fetched'), never);
    expect(await unfinished()).toEqual([]);
  };

  test.each([0, 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 17 * MIB + 3])(
    '%i bytes: nothing is visible before completion, all of it after',
    async (bytes) => {
      const content = randomBytes(bytes);
      const { done, manifest, growing } = grow(content, 2 * MIB);
      await done;
      expect(await prefix.files()).toEqual([]);
      // Local publishing comes first, and renames the spool.
      const path = join(folder, 'archive');
      await rename(spool, path);
      await store.completeGrowing(growing, manifest, { path }, never);
      await confirm(content);
    },
  );

  test('parts go up before the file is complete', async () => {
    const content = randomBytes(20 * MIB);
    await writeFile(spool, content.subarray(0, 12 * MIB));
    const finish = Promise.withResolvers<void>();
    const source = { path: spool, growth: fileGrowth(spool, finish.promise, systemClock, never) };
    const manifest = sampleManifest(content);
    const growing = store.beginGrowing(manifest.archive.file, source, never, 100 * MIB);
    await expect.poll(() => proxy.seen.filter(isPart).length, { timeout: 20_000 }).toBe(2);
    await appendFile(spool, content.subarray(12 * MIB));
    finish.resolve();
    await store.completeGrowing(growing, manifest, { path: spool }, never);
    await confirm(content);
  });

  test('a line slower than the dump: the file is renamed before all of it is sent, and goes up once', async () => {
    await using line = await Throttle.before(proxy.endpoint, 5);
    await using slow = open(systemClock, silentLogger(), line.endpoint);
    const content = randomBytes(32 * MIB);
    await writeFile(spool, content.subarray(0, 17 * MIB));
    const finish = Promise.withResolvers<void>();
    const source = { path: spool, growth: fileGrowth(spool, finish.promise, systemClock, never) };
    const manifest = sampleManifest(content);
    const growing = slow.beginGrowing(manifest.archive.file, source, never, 100 * MIB);
    await expect.poll(() => proxy.seen.filter(isPart).length, { timeout: 20_000 }).toBe(2);
    await appendFile(spool, content.subarray(17 * MIB));
    finish.resolve();
    const path = join(folder, 'archive');
    await rename(spool, path);
    await slow.completeGrowing(growing, manifest, { path }, never);
    expect(proxy.seen.filter(isPart)).toHaveLength(7);
    await confirm(content);
  });

  test('a file that is not there at the first look goes up early, too', async () => {
    const content = randomBytes(12 * MIB);
    const manifest = sampleManifest(content);
    const finish = Promise.withResolvers<void>();
    async function* growth() {
      yield 0;
      await writeFile(spool, content);
      yield content.length;
      await finish.promise;
    }
    const source = { path: spool, growth: growth() };
    const growing = store.beginGrowing(manifest.archive.file, source, never, 100 * MIB);
    await expect.poll(() => proxy.seen.filter(isPart).length, { timeout: 20_000 }).toBe(2);
    finish.resolve();
    await store.completeGrowing(growing, manifest, { path: spool }, never);
    await confirm(content);
  });

  test('a file that is written anew goes up whole when it is done, and is not called damaged', async () => {
    const content = randomBytes(12 * MIB);
    const manifest = sampleManifest(content);
    await writeFile(spool, randomBytes(12 * MIB));
    const anew = Promise.withResolvers<void>();
    async function* growth() {
      yield 12 * MIB;
      await anew.promise;
      yield 0;
      yield content.length;
    }
    const told: string[] = [];
    const log = { ...silentLogger(), warn: (_: unknown, message: string) => told.push(message) };
    await using own = open(systemClock, log as never);
    const source = { path: spool, growth: growth() };
    const growing = own.beginGrowing(manifest.archive.file, source, never, 100 * MIB);
    await expect.poll(() => proxy.seen.filter(isPart).length, { timeout: 20_000 }).toBe(2);
    await writeFile(spool, content);
    anew.resolve();
    await own.completeGrowing(growing, manifest, { path: spool }, never);
    expect(told).toContain('what was uploaded during the dump is given up: all of it goes up anew');
    expect(told).not.toContain('the archive is uploaded again, whole');
    await confirm(content);
  });

  test('an endpoint that fails on the way: the archive is uploaded whole afterwards', async () => {
    const fault = { kind: 'answer', status: 500, body: s3Error('InternalError') } as const;
    proxy.inject({ when: isPart, fault, times: 3 });
    const content = randomBytes(12 * MIB);
    const { done, manifest, growing } = grow(content, 3 * MIB);
    await done;
    await store.completeGrowing(growing, manifest, { path: spool }, never);
    await confirm(content);
  });

  test.each([
    ['it is read back, and is what was sent', false],
    ['it is read back, and is another', true],
  ])('completed, the answer lost, and its ETag tells nothing: %s', async (_, isAnother) => {
    const content = randomBytes(12 * MIB);
    const { done, manifest, growing } = grow(content, 3 * MIB);
    await done;
    // As under keys of KMS at AWS; what went up early was begun before its sha256 was known.
    const isHead = ({ method }: SeenRequest) => method === 'HEAD';
    const etag = { kind: 'change-header', name: 'etag', value: '"opaque"' } as const;
    const isCompletion = ({ method, url }: SeenRequest) =>
      method === 'POST' && url.includes('uploadId=');
    proxy.inject(
      { when: isCompletion, fault: { kind: 'lose-answer' }, times: 3 },
      { when: isHead, fault: etag, times: Number.POSITIVE_INFINITY },
    );
    if (!isAnother) {
      await store.completeGrowing(growing, manifest, { path: spool }, never);
      await confirm(content);
      return;
    }
    await growing.abort();
    const Metadata = { 'dropback-part-bytes': `${5 * MIB}` };
    const Key = prefix.key(manifest.archive.file);
    const other = { Bucket: prefix.bucket, Key, Body: randomBytes(content.length), Metadata };
    await prefix.client.send(new PutObjectCommand(other));
    const failure = await failureOf(store.publish(manifest, { path: spool }, never));
    expect(failure.code).toBe('store/exists');
    expect((await store.list(never)).backups).toEqual([]);
  });

  test('bytes that changed after they were sent: the archive is uploaded again, whole', async () => {
    const content = randomBytes(12 * MIB);
    const { done, growing } = grow(content, 3 * MIB);
    await done;
    await expect.poll(() => proxy.seen.filter(isPart).length, { timeout: 20_000 }).toBe(2);
    const changed = Buffer.from(content);
    changed[100] = (changed[100] ?? 0) ^ 1;
    await writeFile(spool, changed);
    await store.completeGrowing(growing, sampleManifest(changed), { path: spool }, never);
    await confirm(changed);
  });

  test('a dump that failed: what was sent is deleted', async () => {
    const { done, growing } = grow(randomBytes(12 * MIB), 3 * MIB);
    await done;
    await expect.poll(() => proxy.seen.filter(isPart).length, { timeout: 20_000 }).toBe(2);
    expect(await unfinished()).toHaveLength(1);
    await growing.abort();
    await growing.abort();
    expect(await unfinished()).toEqual([]);
    expect(await prefix.files()).toEqual([]);
  });

  test('an abort while it is being completed ends a hanging endpoint', async () => {
    const { done, manifest, growing } = grow(randomBytes(12 * MIB), 3 * MIB);
    await done;
    proxy.inject({ when: isPart, fault: { kind: 'hang' }, times: 100 });
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 300);
    const failure = await failureOf(
      store.completeGrowing(growing, manifest, { path: spool }, stop.signal),
    );
    expect(failure.code).toBe('run/aborted');
    expect(await unfinished()).toEqual([]);
  });

  test('a sweep gives up uploads of ours that are older than a week, and no others', async () => {
    const content = randomBytes(12 * MIB);
    const { done, manifest, growing } = grow(content, 6 * MIB);
    await done;
    await expect.poll(async () => (await unfinished()).length, { timeout: 20_000 }).toBe(1);
    expect((await store.sweep(never)).abortedUploads).toEqual([]);
    const later = { ...systemClock, now: () => new Date(Date.now() + 8 * 86_400_000) };
    await using next = open(later);
    const report = await next.sweep(never);
    expect(report.abortedUploads).toEqual([prefix.key(manifest.archive.file)]);
    expect(await unfinished()).toEqual([]);
    // The one that lost its upload notices, and starts over.
    await store.completeGrowing(growing, manifest, { path: spool }, never);
    await confirm(content);
  });

  test('the sha256 of what arrived is the sha256 of what was sent', async () => {
    const content = randomBytes(11 * MIB);
    const { done, manifest, growing } = grow(content, 4 * MIB);
    await done;
    await store.completeGrowing(growing, manifest, { path: spool }, never);
    expect(manifest.archive.sha256).toBe(createHash('sha256').update(content).digest('hex'));
    await confirm(content);
  });
});
