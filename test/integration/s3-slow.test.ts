import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Logger } from '../../src/core/observability/log.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import { sampleBackup } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';
import { TestPrefix } from '../support/s3.ts';
import { S3FaultProxy, type SeenRequest } from '../support/s3-fault-proxy.ts';
import { testbed } from '../support/testbed.ts';

const MIB = 1024 ** 2;
const never = new AbortController().signal;
/** Minutes, for a test: the idle time-out would take far longer, were it not fed byte by byte. */
const timeouts = {
  connectMs: 20_000,
  idleMs: 60_000,
  pace: { leastBytes: 50_000, withinMs: 2000 },
};

function open(prefix: TestPrefix, endpoint: string, log: Logger, attempts: number): S3Store {
  return new S3Store(prefix.config({ endpoint }), 'app', {
    log,
    timeouts,
    backoff: { firstMs: 10, mostMs: 50, attempts },
    upload: { smallestPartBytes: 5 * MIB, concurrency: 3 },
  });
}

/** A real endpoint (radosgw) behind a proxy that passes on a byte now and then. */
test.skipIf(!testbed.s3)(
  'an endpoint that trickles, up or down, is given up, told, and tried again',
  { timeout: 120_000 },
  async () => {
    await using resources = new AsyncDisposableStack();
    const prefix = resources.use(new TestPrefix());
    const proxy = resources.use(await S3FaultProxy.start(testbed.s3?.endpoint ?? ''));
    const folder = await mkdtemp(join(tmpdir(), 'dropback-s3-slow-'));
    resources.defer(() => rm(folder, { recursive: true }));
    const told: { code: string; hint: string; text: string }[] = [];
    const log: Logger = Object.assign(Object.create(silentLogger()), {
      warn: ({ error }: { error: { code: string; hint: string } }, text: string) =>
        told.push({ ...error, text }),
    });
    const patient = resources.use(open(prefix, proxy.endpoint, log, 12));
    const make = (hour: number, bytes: number) =>
      sampleBackup(join(folder, `${hour}`), { at: new Date(Date.UTC(2026, 10, 22, hour)), bytes });
    const there = await make(1, 2 * MIB);
    const arriving = await make(2, 6 * MIB);
    await patient.publish(there.manifest, { path: there.path }, never);
    told.length = 0;

    const isPart2 = ({ url }: SeenRequest) => url.includes('partNumber=2');
    const isDownload = ({ method, url }: SeenRequest) =>
      method === 'GET' && url.includes(there.manifest.archive.file);
    const isListing = ({ url }: SeenRequest) => url.includes('list-type=2');
    proxy.inject(
      { when: isPart2, fault: { kind: 'trickle-up' } },
      { when: isDownload, fault: { kind: 'trickle', afterBytes: MIB }, times: 2 },
      { when: isListing, fault: { kind: 'trickle', afterBytes: 100 }, times: 100 },
    );
    const impatient = resources.use(open(prefix, proxy.endpoint, silentLogger(), 2));
    const fetched = join(folder, 'fetched');
    const [failure] = await Promise.all([
      failureOf(impatient.list(never)),
      patient.publish(arriving.manifest, { path: arriving.path }, never),
      patient.fetch(there.manifest, fetched, never),
    ]);
    expect(failure).toMatchObject({ code: 'store/too-slow', retryable: true });
    expect(failure.message).toMatch(/slower than 50 kB in 2 s/);
    expect(failure.hint).toMatch(/network/);
    const slow = told.filter(({ code }) => code === 'store/too-slow').map(({ text }) => text);
    expect(slow).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^upload of part 2 .* is tried again$/),
        'download is taken up again',
      ]),
    );
    // What had come before it trickled was not fetched a second time.
    const ranges = proxy.seen.filter(isDownload).map(({ headers }) => headers['range']);
    expect(ranges).toContainEqual(expect.stringMatching(/^bytes=[1-9]\d+-$/));
    expect((await readFile(fetched)).equals(there.content)).toBe(true);
    proxy.reset();
    expect((await patient.list(never)).backups).toEqual([there.manifest, arriving.manifest]);
    await patient.verify(arriving.manifest, never);
  },
);
