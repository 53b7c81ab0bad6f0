import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { prune } from '../../src/backup/prune.ts';
import { sweepStates } from '../../src/backup/sweep-states.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { serialiseManifest } from '../../src/core/archive/manifest-file.ts';
import { withVerification } from '../../src/core/archive/state-file.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { systemClock } from '../../src/core/runtime/clock.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import { sampleBackup } from '../support/backups.ts';
import { TestPrefix } from '../support/s3.ts';
import { type FaultRule, S3FaultProxy, type SeenRequest } from '../support/s3-fault-proxy.ts';
import { s3Environment } from '../support/sqlite-stack.ts';
import { testbed } from '../support/testbed.ts';

const never = new AbortController().signal;
const isListing = ({ url }: SeenRequest) => url.includes('list-type=2');
const isManifest = ({ method, url }: SeenRequest) => method === 'GET' && /Z\.json\?/.test(url);

/** A real endpoint (radosgw); listings are of pages that a proxy makes up, as a race leaves them. */
describe.skipIf(!testbed.s3)('listings in pages, while others write and delete', () => {
  let proxy: S3FaultProxy;
  let prefix: TestPrefix;
  let folder: string;
  let store: S3Store;
  let local: LocalStore;
  beforeAll(async () => {
    proxy = await S3FaultProxy.start(testbed.s3?.endpoint ?? '');
  });
  afterAll(() => proxy[Symbol.asyncDispose]());
  beforeEach(async () => {
    proxy.reset();
    prefix = new TestPrefix();
    folder = await mkdtemp(join(tmpdir(), 'dropback-s3-pages-'));
    store = new S3Store(prefix.config({ endpoint: proxy.endpoint }), 'app', {
      log: silentLogger(),
    });
    local = new LocalStore(join(folder, 'app'), 'app');
  });
  afterEach(async () => {
    await store[Symbol.asyncDispose]();
    await prefix[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const publish = async (hour: number): Promise<Manifest> => {
    const at = new Date(Date.UTC(2026, 10, 22, hour));
    const { manifest, path } = await sampleBackup(join(folder, `${hour}`), { at, bytes: 1000 });
    await store.publish(manifest, { path }, never);
    return manifest;
  };
  const archiveOf = ({ archive }: Manifest) => archive.file;
  const manifestOf = ({ id }: Manifest) => `${id}.json`;
  /** The next listings see these files, one page after the other. */
  const listingOf = (...pages: string[][]): FaultRule[] =>
    pages.map((files, n) => ({
      when: isListing,
      fault: { kind: 'answer', status: 200, body: page(files, n < pages.length - 1) },
    }));
  const page = (files: string[], more: boolean) =>
    `<ListBucketResult><Name>${prefix.bucket}</Name><KeyCount>${files.length}</KeyCount>` +
    `<IsTruncated>${more}</IsTruncated>${more ? '<NextContinuationToken>next</NextContinuationToken>' : ''}` +
    files
      .map((file) => `<Contents><Key>${prefix.key(file)}</Key><Size>1000</Size></Contents>`)
      .join('') +
    '</ListBucketResult>';

  test('an archive that comes before its page is read again, and a manifest behind it: listed', async () => {
    const [first, second] = [await publish(1), await publish(2)];
    proxy.inject(...listingOf([archiveOf(first), manifestOf(first)], [manifestOf(second)]));
    expect(await store.list(never)).toEqual({ backups: [first, second], strays: [] });
  });

  test('what a deletion or a new key moves over the border comes twice, and is listed once', async () => {
    const [first, second] = [await publish(1), await publish(2)];
    proxy.inject(
      ...listingOf(
        [archiveOf(first), manifestOf(first), archiveOf(second)],
        [manifestOf(first), archiveOf(second), manifestOf(second)],
      ),
    );
    expect(await store.list(never)).toEqual({ backups: [first, second], strays: [] });
  });

  test('one that is removed meanwhile is neither listed nor called a stray', async () => {
    const [first, second] = [await publish(1), await publish(2)];
    await store.remove(first, never);
    proxy.inject(
      ...listingOf([archiveOf(first), manifestOf(first)], [archiveOf(second), manifestOf(second)]),
    );
    expect(await store.list(never)).toEqual({ backups: [second], strays: [] });
  });

  test('one that a page misses is still known, and holds up no retention', async () => {
    const made = [await publish(1), await publish(2), await publish(3)];
    const [oldest, kept, newest] = made as [Manifest, Manifest, Manifest];
    await local.prepare();
    const found = { kind: 'archive', status: 'ok', where: 's3', durationMs: 1 } as const;
    const at = new Date().toISOString();
    await local.updateState(kept.id, (state) => withVerification(state, { ...found, at }));
    const files = (some: Manifest[]) => some.flatMap((one) => [archiveOf(one), manifestOf(one)]);

    proxy.inject(...listingOf(files([oldest]), files([newest])));
    expect(await sweepStates({ local, remote: store }, never)).toEqual([]);
    expect((await local.readState(kept.id)).verifications).toHaveLength(1);

    const config = parseBackupConfig({
      DATABASE_URL: 'sqlite:////data/app.db',
      BACKUP_NAME: 'app',
      ...s3Environment(testbed.s3 as never, prefix.prefix),
      S3_KEEP_LAST: '2',
      S3_KEEP_DAILY: '0',
      S3_KEEP_WEEKLY: '0',
      S3_KEEP_MONTHLY: '0',
    });
    const warned: string[] = [];
    const log = Object.assign(Object.create(silentLogger()), {
      warn: (_: unknown, text: string) => warned.push(text),
    });
    const deps = { config, local, remote: store, clock: systemClock, log };
    // The plan is made of all three; the look before the first removal misses one that it keeps.
    proxy.reset();
    proxy.inject(...listingOf(files(made)), ...listingOf(files([oldest]), files([newest])));
    await prune(deps, false, never);
    expect(warned).toEqual([]);
    expect((await store.list(never)).backups).toEqual([kept, newest]);
  });

  test('a removal that never began is not carried out because a page misses the manifest', async () => {
    const manifest = await publish(1);
    await prefix.put(`${manifestOf(manifest)}.removing`, serialiseManifest(manifest));
    const files = [archiveOf(manifest), `${manifestOf(manifest)}.removing`];
    // The sweep looks for uploads first.
    proxy.inject(...listingOf([files[0] ?? ''], [files[1] ?? '']));
    expect((await store.sweep(never)).removed).toEqual([]);
    await store.verify(manifest, never);
  });

  test('retention reads each manifest once for its plan, however many go', async () => {
    const made = [await publish(1), await publish(2), await publish(3), await publish(4)];
    const config = parseBackupConfig({
      DATABASE_URL: 'sqlite:////data/app.db',
      BACKUP_NAME: 'app',
      ...s3Environment(testbed.s3 as never, prefix.prefix),
      S3_KEEP_LAST: '3',
      S3_KEEP_DAILY: '0',
      S3_KEEP_WEEKLY: '0',
      S3_KEEP_MONTHLY: '0',
    });
    const deps = { config, local, remote: store, clock: systemClock, log: silentLogger() };
    proxy.reset();
    await prune(deps, false, never);
    const reads = (manifest: Manifest) =>
      proxy.seen.filter((seen) => isManifest(seen) && seen.url.includes(manifest.id)).length;
    expect(made.slice(1).map(reads)).toEqual([1, 1, 1]);
    expect((await store.list(never)).backups).toEqual(made.slice(1));
  });
});
