import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Uploads } from '../../src/backup/uploads.ts';
import { withS3Upload } from '../../src/core/archive/state-file.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { applyRetention } from '../../src/core/retention/apply.ts';
import { planRetention } from '../../src/core/retention/plan.ts';
import { type Clock, systemClock } from '../../src/core/runtime/clock.ts';
import { DropbackError } from '../../src/core/runtime/errors.ts';
import { Catalogue, type CatalogueEntry, forRetention } from '../../src/core/stores/catalogue.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import type { Store } from '../../src/core/stores/store.ts';
import { asRemote, sampleBackup } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';

const never = new AbortController().signal;
const now = new Date('2026-11-22T20:00:00Z');
const clock: Clock = { ...systemClock, now: () => now };
const manifestsOf = (entries: readonly CatalogueEntry[]) => entries.map((entry) => entry.manifest);
const policy = { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, days: 0 };

describe('catalogue', () => {
  let root: string;
  let local: LocalStore;
  let remote: Store;
  let catalogue: Catalogue;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'dropback-catalogue-'));
    local = new LocalStore(join(root, 'local'), 'app');
    remote = asRemote(new LocalStore(join(root, 'remote'), 'app'));
    catalogue = new Catalogue(local, remote, clock);
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const make = async (minute: number, ...stores: Store[]) => {
    const at = new Date(Date.UTC(2026, 10, 22, 19, minute));
    const backup = await sampleBackup(join(root, `source-${minute}-${Math.random()}`), { at });
    for (const store of stores) await store.publish(backup.manifest, { path: backup.path }, never);
    return backup;
  };
  const unreachable = () =>
    new S3Store(
      {
        ...{ bucket: 'none', prefix: '', endpoint: 'http://127.0.0.1:9', region: 'us-east-1' },
        ...{ forcePathStyle: true, prune: true },
        credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
      },
      'app',
      { log: silentLogger(), backoff: { firstMs: 1, mostMs: 1, attempts: 2 } },
    );

  test('merges both stores, oldest first', async () => {
    const [a, b, c] = [await make(2, remote), await make(1, local), await make(3, local, remote)];
    const { entries, conflicts, unreachable: failed } = await catalogue.list(never);
    expect(entries.map(({ id, where }) => [id, ...where])).toEqual([
      [b.manifest.id, 'local'],
      [a.manifest.id, 's3'],
      [c.manifest.id, 'local', 's3'],
    ]);
    expect(entries[0]).toMatchObject({ ageMs: 59 * 60_000, bytes: 100_000 });
    expect([conflicts, failed]).toEqual([[], []]);
  });

  test('finds by id, the latest, and by sha256', async () => {
    const [a, b] = [await make(1, local), await make(2, remote)];
    expect((await catalogue.find('latest', never)).manifest).toEqual(b.manifest);
    expect((await catalogue.find(a.manifest.id, never)).manifest).toEqual(a.manifest);
    expect((await failureOf(catalogue.find('app_x', never))).code).toBe('store/not-found');
    expect(await catalogue.findBySha256(b.manifest.archive.sha256, never)).toEqual({
      manifest: b.manifest,
      isListed: true,
    });
    expect(await catalogue.findBySha256('0'.repeat(64), never)).toBeUndefined();
  });

  test('an archive that was moved away is still known for ours, and that it is listed no more', async () => {
    const { manifest } = await make(1, local);
    await rm(local.archivePath(manifest));
    expect((await catalogue.list(never)).entries).toEqual([]);
    const known = await catalogue.findBySha256(manifest.archive.sha256, never);
    expect(known).toEqual({ manifest, isListed: false });
    const { code, message } = await failureOf(catalogue.find('latest', never));
    expect([code, message]).toEqual(['store/not-found', 'there is no backup yet']);
  });

  test('two backups under one id are both shown, as a conflict', async () => {
    const [a, b] = [await make(1, local), await make(1, remote)];
    const view = await catalogue.list(never);
    expect(view.conflicts).toEqual([a.manifest.id]);
    expect(view.entries.map(({ where }) => where)).toEqual([['local'], ['s3']]);
    expect(await catalogue.findBySha256(b.manifest.archive.sha256, never)).toEqual({
      manifest: b.manifest,
      isListed: true,
    });
  });

  test('a remote store that does not answer hides nothing local', async () => {
    const a = await make(1, local);
    const half = new Catalogue(local, unreachable(), clock);
    const view = await half.list(never);
    expect(view.entries.map(({ id }) => id)).toEqual([a.manifest.id]);
    expect(view.unreachable).toMatchObject([{ where: 's3', error: { code: 'store/unreachable' } }]);
    expect((await half.find('latest', never)).id).toBe(a.manifest.id);
    expect((await failureOf(half.find('app_x', never))).code).toBe('store/unreachable');
    const { sha256 } = a.manifest.archive;
    expect(await half.findBySha256(sha256, never)).toMatchObject({
      manifest: { id: a.manifest.id },
    });
    expect((await failureOf(half.findBySha256('0'.repeat(64), never))).code).toBe(
      'store/unreachable',
    );
  });

  test('the backlog is what the state does not call uploaded; it drains in order', async () => {
    const [a, b, c] = [await make(1, local), await make(2, local), await make(3, local)];
    const there = { target: remote.identity, at: now };
    await local.updateState(b.manifest.id, (state) =>
      withS3Upload(state, { status: 'uploaded', ...there }),
    );
    await local.updateState(c.manifest.id, (state) =>
      withS3Upload(state, { status: 'failed', ...there }),
    );
    const uploads = new Uploads({ local, remote, clock, log: silentLogger() });
    const waiting = [a.manifest.id, c.manifest.id];
    expect((await uploads.backlog(never)).map(({ id }) => id)).toEqual(waiting);
    expect(await uploads.drain(never)).toEqual({
      uploaded: waiting,
      remaining: [],
      cutShort: false,
    });
    expect((await remote.list(never)).backups.map(({ id }) => id)).toEqual(waiting);
    expect(await uploads.backlog(never)).toEqual([]);
  });

  test('a backup that is damaged here, or stands in its own way there, holds up no other', async () => {
    const [a, b, c] = [await make(1, local), await make(2, local), await make(3, local)];
    const damaged = Buffer.from(a.content);
    damaged[3] = (damaged[3] ?? 0) ^ 1;
    await writeFile(local.archivePath(a.manifest), damaged);
    await make(2, remote);
    const uploads = new Uploads({ local, remote, clock, log: silentLogger() });
    const result = await uploads.drain(never);
    expect(result).toMatchObject({ uploaded: [c.manifest.id], cutShort: false });
    expect(result.error?.code).toBe('store/corrupt');
    expect(result.error?.message).toContain(a.manifest.id);
    const waiting = (await uploads.backlog(never)).map(({ id }) => id);
    expect(waiting).toEqual([a.manifest.id, b.manifest.id]);
    expect(result.remaining).toEqual(waiting);
    for (const id of waiting) {
      expect((await local.readState(id)).uploads.s3).toMatchObject({
        status: 'failed',
        attempts: 1,
      });
    }
  });

  test('an archive without a manifest that is in the way is told as such', async () => {
    const { manifest } = await make(1, local);
    const occupied = new DropbackError('store/exists', 'already has another archive', { hint: '' });
    const publish = () => Promise.reject(occupied);
    const inTheWay = Object.defineProperty(remote, 'publish', { value: publish });
    const uploads = new Uploads({ local, remote: inTheWay, clock, log: silentLogger() });
    expect((await uploads.drain(never)).error?.code).toBe('store/exists');
    expect((await local.readState(manifest.id)).uploads.s3?.lastError?.code).toBe('store/exists');
  });

  test('an outage ends the round at the first backup', async () => {
    const [a, b] = [await make(1, local), await make(2, local)];
    const uploads = new Uploads({ local, remote: unreachable(), clock, log: silentLogger() });
    const ids = [a.manifest.id, b.manifest.id];
    const { error, ...rest } = await uploads.drain(never);
    expect(rest).toEqual({ uploaded: [], remaining: ids, cutShort: true });
    expect(error?.code).toBe('store/unreachable');
    expect((await local.readState(a.manifest.id)).uploads.s3?.attempts).toBe(1);
    expect((await local.readState(b.manifest.id)).uploads.s3).toBeUndefined();
  });

  test('a damaged local copy is fetched from the remote store', async () => {
    const { manifest, content } = await make(1, local, remote);
    const damaged = Buffer.from(content);
    damaged[3] = (damaged[3] ?? 0) ^ 1;
    await writeFile(local.archivePath(manifest), damaged);
    const entry = await catalogue.find('latest', never);
    await catalogue.fetch(entry, join(root, 'fetched'), never);
    expect(await readFile(join(root, 'fetched'))).toEqual(content);
  });

  test('retention removes what the plan says, and stops at the first error', async () => {
    for (const minute of [1, 2, 3, 4]) await make(minute, local);
    const { entries } = await catalogue.list(never);
    const guards = { lastRunFailed: false, requireUploaded: false, usualGapMs: 86_400_000 };
    const plan = planRetention(
      entries.map((entry) => forRetention(entry, 'local', undefined)),
      policy,
      now,
      guards,
    );
    expect(plan.remove).toHaveLength(3);
    const second = plan.remove[1]?.id ?? '';
    const failing: Store = Object.create(local, {
      list: { value: (signal: AbortSignal) => local.list(signal) },
      ids: { value: (signal: AbortSignal) => local.ids(signal) },
      remove: {
        value: async (manifest: { id: string }, signal: AbortSignal) => {
          if (manifest.id === second) throw new Error('no');
          await local.remove(manifest as never, signal);
        },
      },
      description: { value: 'failing' },
    });
    await expect(applyRetention(failing, plan, manifestsOf(entries), never)).rejects.toThrow('no');
    expect((await local.list(never)).backups).toHaveLength(3);
    expect(await applyRetention(local, plan, manifestsOf(entries), never)).toHaveLength(2);
    expect((await local.list(never)).backups.map(({ id }) => id)).toEqual([plan.keep[0]?.id]);
  });

  test('retention stops once any backup that the plan keeps is gone', async () => {
    const made = [];
    for (const minute of [1, 2, 3, 4]) made.push((await make(minute, local)).manifest);
    const [first, verified, second, newest] = made;
    if (!first || !verified || !second || !newest) throw new Error('four were made');
    const { entries } = await catalogue.list(never);
    const guards = { lastRunFailed: false, requireUploaded: false, usualGapMs: 86_400_000 };
    const backups = entries.map((entry) => {
      const known = forRetention(entry, 'local', undefined);
      return { ...known, verified: known.id === verified.id };
    });
    const plan = planRetention(backups, policy, now, guards);
    expect(plan.keep.map(({ id }) => id)).toEqual([newest.id, verified.id]);
    // Somebody else prunes by a policy of its own, between our first removal and our second.
    const removal = applyRetention(local, plan, manifestsOf(entries), never, () => {
      rmSync(join(root, 'local', `${verified.id}.json`));
    });
    const failure = await failureOf(removal);
    expect(failure).toMatchObject({ code: 'retention/stale' });
    expect(failure.message).toContain(verified.id);
    expect((await local.list(never)).backups).toEqual([second, newest]);
  });

  test('retention refuses a plan whose newest backup is gone', async () => {
    const [, , newest] = [await make(1, local), await make(2, local), await make(3, local)];
    const { entries } = await catalogue.list(never);
    const guards = { lastRunFailed: false, requireUploaded: false, usualGapMs: 86_400_000 };
    const plan = planRetention(
      entries.map((entry) => forRetention(entry, 'local', undefined)),
      policy,
      now,
      guards,
    );
    await local.remove(newest.manifest, never);
    expect((await failureOf(applyRetention(local, plan, manifestsOf(entries), never))).code).toBe(
      'retention/stale',
    );
    expect((await local.list(never)).backups).toHaveLength(2);
  });
});
