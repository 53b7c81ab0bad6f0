import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/core/observability/log.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import { sampleBackup, sampleManifest } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';
import { TestPrefix } from '../support/s3.ts';
import { KMS_KEY, SseGateway } from '../support/sse-gateway.ts';
import { testbed } from '../support/testbed.ts';

const MIB = 1024 ** 2;
const never = new AbortController().signal;
const kms = { serverSideEncryption: 'aws:kms', kmsKeyId: KMS_KEY };
/** As S3_SSE and S3_SSE_KMS_KEY_ID set it, and what the endpoint then says of an object. */
const kinds = [
  ['aws:kms', kms, ['aws:kms', KMS_KEY]],
  ['AES256', { serverSideEncryption: 'AES256' }, ['AES256', undefined]],
] as const;
const sizes = [1000, 6 * MIB];

/** A real endpoint (radosgw) with a key service, which encrypts what it stores. */
describe.skipIf(!testbed.s3?.container)('server-side encryption', () => {
  let gateway: SseGateway;
  let prefix: TestPrefix;
  let folder: string;
  beforeAll(async () => {
    gateway = await SseGateway.start();
    prefix = new TestPrefix(gateway.s3);
    folder = await mkdtemp(join(tmpdir(), 'dropback-sse-'));
  }, 120_000);
  afterAll(async () => {
    await prefix?.[Symbol.asyncDispose]();
    await gateway?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true });
  });

  const open = (changes: object = kms) =>
    new S3Store(prefix.config(changes), 'app', {
      log: silentLogger(),
      backoff: { firstMs: 10, mostMs: 50, attempts: 3 },
      upload: { smallestPartBytes: 5 * MIB, concurrency: 3 },
    });
  const encryptionOf = async (file: string) => {
    const input = { Bucket: prefix.bucket, Key: prefix.key(file) };
    const { ServerSideEncryption, SSEKMSKeyId } = await prefix.client.send(
      new HeadObjectCommand(input),
    );
    return [ServerSideEncryption, SSEKMSKeyId];
  };

  test.each(kinds.flatMap((kind) => sizes.map((bytes) => [bytes, ...kind] as const)))(
    '%i bytes go up under %s and come back, archive and manifest encrypted',
    async (bytes, name, changes, told) => {
      await using store = open(changes);
      const at = new Date(Date.UTC(2026, 10, 22, name === 'AES256' ? 1 : 3, 0, bytes % 60));
      const source = join(folder, `${name.replace(':', '-')}-${bytes}`);
      const { manifest, path, content } = await sampleBackup(source, { bytes, at });
      await store.publish(manifest, { path }, never);
      for (const file of [manifest.archive.file, `${manifest.id}.json`]) {
        expect(await encryptionOf(file)).toEqual(told);
      }
      await store.confirm(manifest, never);
      await store.verify(manifest, never);
      await store.fetch(manifest, `${source}-fetched`, never);
      expect((await readFile(`${source}-fetched`)).equals(content)).toBe(true);
    },
  );

  test.each(kinds)(
    'parts that go up while the archive is written are encrypted too: %s',
    async (name, changes, told) => {
      await using store = open(changes);
      const content = randomBytes(6 * MIB);
      const spool = join(folder, 'spool');
      await writeFile(spool, content);
      const manifest = sampleManifest(content, {
        at: new Date(Date.UTC(2026, 10, 22, name.length)),
      });
      const growth = (async function* () {
        yield content.length;
      })();
      const { file } = manifest.archive;
      const growing = store.beginGrowing(file, { path: spool, growth }, never, MIB);
      await store.completeGrowing(growing, manifest, { path: spool }, never);
      expect(await encryptionOf(file)).toEqual(told);
      await store.verify(manifest, never);
    },
  );

  test('what an earlier attempt stored under SSE-S3 is recognised, and does not go up again', async () => {
    await using store = open({ serverSideEncryption: 'AES256' });
    const at = new Date('2026-11-22T05:00:00Z');
    const { manifest, path } = await sampleBackup(join(folder, 'again'), { bytes: 6 * MIB, at });
    await store.publish(manifest, { path }, never);
    await prefix.drop(`${manifest.id}.json`);
    const { made, again } = gateway.keys.told;
    await store.publish(manifest, { path }, never);
    // Each object has a key of its own: the manifest's alone was made.
    expect(gateway.keys.told.made).toBe(made + 1);
    await store.verify(manifest, never);
    expect(gateway.keys.told.again).toBeGreaterThan(again);
  });

  test('a key that is not there: refused, nothing listed, and told by the checks', async () => {
    await using store = open({ ...kms, kmsKeyId: 'another' });
    const at = new Date('2026-11-22T02:00:00Z');
    const { manifest, path } = await sampleBackup(join(folder, 'refused'), { bytes: 1000, at });
    const failure = await failureOf(store.publish(manifest, { path }, never));
    expect(failure).toMatchObject({ code: 'store/refused', retryable: false });
    expect([...(await store.ids(never))]).not.toContain(manifest.id);
    const failed = (await store.checks(never)).filter(({ status }) => status === 'failed');
    expect(failed.map(({ id }) => id)).toEqual(['s3/write']);
  });
});
