import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lookAtNewestCopy } from '../../src/backup/lost-copies.ts';
import { prune } from '../../src/backup/prune.ts';
import { UploadLoop } from '../../src/backup/upload-loop.ts';
import { Uploads } from '../../src/backup/uploads.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { withVerification } from '../../src/core/archive/state-file.ts';
import { isBad } from '../../src/core/archive/state-findings.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { type Clock, systemClock } from '../../src/core/runtime/clock.ts';
import { DropbackError } from '../../src/core/runtime/errors.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { S3Store } from '../../src/core/stores/s3/store.ts';
import type { Store } from '../../src/core/stores/store.ts';
import { asRemote, type SampleBackup, sampleBackup } from '../support/backups.ts';

const never = new AbortController().signal;
const now = new Date('2026-11-22T20:00:00Z');
const clock: Clock = { ...systemClock, now: () => now };
const log = silentLogger();

/** Keeps one backup locally. */
const config = parseBackupConfig({
  DATABASE_URL: 'sqlite:////data/app.db',
  BACKUP_NAME: 'app',
  S3_BUCKET: 'backups',
  BACKUP_KEEP_LAST: '1',
  BACKUP_KEEP_DAILY: '0',
  BACKUP_KEEP_WEEKLY: '0',
  BACKUP_KEEP_MONTHLY: '0',
});

describe('uploads', () => {
  let root: string;
  let local: LocalStore;
  let remote: Store;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'dropback-uploads-'));
    local = new LocalStore(join(root, 'local'), 'app');
    remote = remoteAt('remote');
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const remoteAt = (folder: string) => asRemote(new LocalStore(join(root, folder), 'app'));
  const make = async (minute: number, ...stores: Store[]): Promise<SampleBackup> => {
    const at = new Date(Date.UTC(2026, 10, 22, 19, minute));
    const source = join(root, `source-${minute}-${Math.random()}`);
    const backup = await sampleBackup(source, { at, bytes: 1000 });
    for (const store of stores) await store.publish(backup.manifest, { path: source }, never);
    return backup;
  };
  const uploadsTo = (store: Store) => new Uploads({ local, remote: store, clock, log });
  const pruneLocal = (store: Store = remote) =>
    prune({ config, local, remote: store, clock, log }, false, never);
  const idsIn = async (store: Store) => [...(await store.ids(never))].sort();
  const verified = (id: string, where: 'local' | 's3', status: 'ok' | 'failed') =>
    local.updateState(id, (state) =>
      withVerification(state, {
        ...{ kind: 'archive', status, where, at: now.toISOString(), durationMs: 1 },
      }),
    );
  const damage = async ({ manifest, content }: SampleBackup, store: LocalStore = local) => {
    const changed = Buffer.from(content);
    changed[3] = (changed[3] ?? 0) ^ 1;
    await writeFile(store.archivePath(manifest), changed);
  };

  test('what lies in another bucket is not uploaded to this one, and stays until it is', async () => {
    const made = [await make(1, local), await make(2, local)];
    const [old, newest] = made.map(({ manifest }) => manifest.id);
    expect((await uploadsTo(remote).drain(never)).uploaded).toEqual([old, newest]);
    await verified(old ?? '', 's3', 'failed');
    const other = remoteAt('other');
    const uploads = uploadsTo(other);
    expect((await uploads.backlog(never)).map(({ id }) => id)).toEqual([old, newest]);
    await pruneLocal(other);
    expect(await idsIn(local)).toEqual([old, newest]);
    expect((await uploads.drain(never)).remaining).toEqual([]);
    expect(await idsIn(other)).toEqual([old, newest]);
    // What was found in the first bucket is not true of this one.
    expect(isBad(await local.readState(old ?? ''), 's3')).toBe(false);
    await pruneLocal(other);
    expect(await idsIn(local)).toEqual([newest]);
  });

  test('what somebody else deleted in the bucket goes up again; what retention removed there does not', async () => {
    // In S3 one backup is kept, here three.
    const keepOne = Object.fromEntries(
      ['LAST', 'DAILY', 'WEEKLY', 'MONTHLY'].flatMap((rule) => [
        [`BACKUP_KEEP_${rule}`, rule === 'LAST' ? '3' : '0'],
        [`S3_KEEP_${rule}`, rule === 'LAST' ? '1' : '0'],
      ]),
    );
    const several = parseBackupConfig({
      ...{ DATABASE_URL: 'sqlite:////data/app.db', BACKUP_NAME: 'app', S3_BUCKET: 'backups' },
      ...keepOne,
    });
    const pruneBoth = async () => {
      const { lost } = await prune({ config: several, local, remote, clock, log }, false, never);
      expect(lost.forGood).toEqual([]);
      return lost.again;
    };
    const made = [await make(1, local), await make(2, local)];
    const [old, newest] = made.map(({ manifest }) => manifest.id);
    await uploadsTo(remote).drain(never);
    expect(await pruneBoth()).toEqual([]);
    expect(await idsIn(remote)).toEqual([newest]);
    expect(await pruneBoth()).toEqual([]);

    await remote.remove((made[1] as SampleBackup).manifest, never);
    const next = await make(3, local, remote);
    await uploadsTo(remote).drain(never);
    // Somebody else removed it, but the policy there has no place for it any more.
    expect(await pruneBoth()).toEqual([]);

    await remote.remove(next.manifest, never);
    const last = next.manifest.id;
    expect((await pruneBoth()).map(({ id }) => id)).toEqual([last]);
    expect((await uploadsTo(remote).backlog(never)).map(({ id }) => id)).toEqual([last]);
    const { status, lastError } = (await local.readState(last)).uploads.s3 ?? {};
    expect([status, lastError?.code]).toEqual(['failed', 'store/not-found']);
    expect((await uploadsTo(remote).drain(never)).uploaded).toEqual([last]);
    expect(await pruneBoth()).toEqual([]);
    expect(await idsIn(remote)).toEqual([last]);
    expect(await idsIn(local)).toEqual([old, newest, last]);
  });

  test('local retention keeps what has just been found gone from the bucket, until it is there again', async () => {
    const made = [await make(1, local), await make(2, local)];
    const [old, newest] = made.map(({ manifest }) => manifest.id);
    await uploadsTo(remote).drain(never);
    await remote.remove((made[0] as SampleBackup).manifest, never);
    await pruneLocal();
    expect(await idsIn(local)).toEqual([old, newest]);
    expect((await uploadsTo(remote).drain(never)).uploaded).toEqual([old]);
    await pruneLocal();
    expect(await idsIn(local)).toEqual([newest]);
    expect(await idsIn(remote)).toEqual([old, newest]);
  });

  /** A rule of the bucket, or somebody else, deletes there. */
  const ruled = parseBackupConfig({
    ...{ DATABASE_URL: 'sqlite:////data/app.db', BACKUP_NAME: 'app', S3_BUCKET: 'backups' },
    S3_PRUNE: 'false',
  });

  test('where a rule of the bucket deletes, a newest copy that is gone is no doing of that rule', async () => {
    const made = [];
    for (const minute of [1, 2, 3]) made.push(await make(minute, local));
    const [old, middle, newest] = made.map(({ manifest }) => manifest);
    await uploadsTo(remote).drain(never);
    const look = () => lookAtNewestCopy({ config: ruled, local, remote, clock, log }, never);
    await remote.remove(old as Manifest, never);
    expect(await look()).toEqual({ again: [], forGood: [] });
    expect(await uploadsTo(remote).backlog(never)).toEqual([]);

    // Its manifest is still there, and would be all that is left.
    await rm(join(root, 'remote', newest?.archive.file ?? ''));
    await remote.remove(middle as Manifest, never);
    expect((await look()).again.map(({ id }) => id)).toEqual(
      made.map(({ manifest: { id } }) => id),
    );
    expect(await look()).toEqual({ again: [], forGood: [] });
    const { remaining, error } = await uploadsTo(remote).drain(never);
    expect(remaining).toEqual([newest?.id]);
    expect(error).toMatchObject({
      code: 'store/not-found',
      hint: expect.stringMatching(/delete app_/),
    });
    await rm(join(root, 'remote', `${newest?.id}.json`));
    expect((await uploadsTo(remote).drain(never)).remaining).toEqual([]);
    expect(await idsIn(remote)).toEqual(made.map(({ manifest: { id } }) => id));
    expect(await look()).toEqual({ again: [], forGood: [] });
  });

  test('what was in the bucket alone, and somebody else deleted there, is told once: nothing is left', async () => {
    const made = [await make(1, local), await make(2, local)];
    const [old, newest] = made.map(({ manifest }) => manifest.id);
    await uploadsTo(remote).drain(never);
    const keepAll = () => prune({ config: ruledByUs, local, remote, clock, log }, false, never);
    const ruledByUs = parseBackupConfig({
      ...{ DATABASE_URL: 'sqlite:////data/app.db', BACKUP_NAME: 'app', S3_BUCKET: 'backups' },
    });
    await local.remove((made[0] as SampleBackup).manifest, never);
    expect((await keepAll()).lost).toEqual({ again: [], forGood: [] });
    expect(await idsIn(local)).toEqual([newest]);
    await remote.remove((made[0] as SampleBackup).manifest, never);
    expect((await keepAll()).lost).toEqual({ again: [], forGood: [old] });
    expect((await keepAll()).lost).toEqual({ again: [], forGood: [] });
    expect(await idsIn(remote)).toEqual([newest]);
  });

  test('a change of bucket, prefix or endpoint is another place; of credentials it is none', () => {
    const place = {
      bucket: 'b',
      prefix: 'p',
      region: 'us-east-1',
      forcePathStyle: true,
      prune: true,
    };
    const identity = (changes: object) =>
      new S3Store({ ...place, ...changes }, 'app', { log }).identity;
    const key = { accessKeyId: 'key', secretAccessKey: 'secret' };
    expect(identity({ credentials: key })).toBe(identity({}));
    expect(identity({ credentials: key })).not.toContain('secret');
    const all = [{}, { bucket: 'c' }, { prefix: 'q' }, { endpoint: 'https://one' }];
    const places = [...all, { endpoint: 'https://two' }].map(identity);
    expect(new Set(places).size).toBe(5);
  });

  test('a state of an earlier version, which says not whereto, is looked up and not sent again', async () => {
    const { manifest } = await make(1, local, remote);
    const gone = (await make(2, local)).manifest;
    for (const { id } of [manifest, gone]) {
      const s3 = { status: 'uploaded', at: now.toISOString(), attempts: 1 };
      const state = { version: 1, uploads: { s3 }, verifications: [] };
      await writeFile(join(root, 'local', `${id}.state.json`), JSON.stringify(state));
    }
    const before = await readdir(join(root, 'remote'));
    expect((await uploadsTo(remote).drain(never)).remaining).toEqual([]);
    const after = await readdir(join(root, 'remote'));
    expect(after.filter((file) => !before.includes(file))).toEqual(
      expect.arrayContaining([`${gone.id}.json`]),
    );
    for (const { id } of [manifest, gone]) {
      expect((await local.readState(id)).uploads.s3).toMatchObject({
        ...{ status: 'uploaded', target: remote.identity },
      });
    }
  });

  test('a copy that was found damaged in S3 counts as none until it is deleted there', async () => {
    const [old, newest] = [await make(1, local), await make(2, local)];
    const uploads = uploadsTo(remote);
    await uploads.drain(never);
    const { id, archive } = old.manifest;
    await verified(id, 's3', 'failed');
    await pruneLocal();
    expect(await idsIn(local)).toEqual([id, newest.manifest.id]);
    for (let round = 0; round < 2; round++) {
      const result = await uploads.drain(never);
      expect(result).toMatchObject({ uploaded: [], remaining: [id], cutShort: false });
      expect(result.error).toMatchObject({
        code: 'store/corrupt',
        hint: expect.stringMatching(/^delete/),
      });
    }
    await rm(join(root, 'remote', archive.file));
    await rm(join(root, 'remote', `${id}.json`));
    expect(await uploads.drain(never)).toEqual({ uploaded: [id], remaining: [], cutShort: false });
    expect(await readFile(join(root, 'remote', archive.file))).toEqual(old.content);
    expect(isBad(await local.readState(id), 's3')).toBe(false);
    await pruneLocal();
    expect(await idsIn(local)).toEqual([newest.manifest.id]);
  });

  test('a damaged archive holds off no retention, is told, and stays', async () => {
    const [bad, old, newest] = [await make(1, local), await make(2, local), await make(3, local)];
    await damage(bad);
    const rounds: number[] = [];
    const errors: string[] = [];
    const stop = new AbortController();
    const loop = new UploadLoop({
      ...{ uploads: uploadsTo(remote), clock, log },
      onRoundEnd: async (left) => {
        await pruneLocal();
        rounds.push(left);
      },
      onBehind: ({ code }, backlog) => errors.push(`${code} ${backlog}`),
    });
    const running = loop.run(stop.signal);
    await expect.poll(() => errors, { timeout: 30_000 }).toEqual(['store/corrupt 1']);
    stop.abort();
    await running;
    expect(rounds).toEqual([1]);
    expect(loop.backlog).toBe(1);
    const { id } = bad.manifest;
    expect(await idsIn(local)).toEqual([id, newest.manifest.id]);
    expect(await idsIn(remote)).toEqual([old.manifest.id, newest.manifest.id]);
    expect(isBad(await local.readState(id), 'local')).toBe(true);

    // It isn't tried again before a verification has found it whole.
    const uploads = uploadsTo(remote);
    await writeFile(local.archivePath(bad.manifest), bad.content);
    expect((await uploads.drain(never)).error?.message).toContain(`${id} is damaged in`);
    await verified(id, 'local', 'ok');
    expect((await uploads.drain(never)).uploaded).toEqual([id]);
  });

  test('what waits is known while a slow upload goes on, and shrinks with each that arrives', async () => {
    const made = [await make(1, local), await make(2, local)].map(({ manifest }) => manifest);
    const gates = made.map(() => Promise.withResolvers<void>());
    const publish: Store['publish'] = async (manifest, archive, signal) => {
      await gates[made.findIndex(({ id }) => id === manifest.id)]?.promise;
      await LocalStore.prototype.publish.call(remote, manifest, archive, signal);
    };
    const slow = Object.defineProperty(remote, 'publish', { value: publish });
    const stop = new AbortController();
    const parts = { uploads: uploadsTo(slow), clock, log, onRoundEnd: async () => {} };
    const loop = new UploadLoop(parts);
    const running = loop.run(stop.signal);
    const known = () => [loop.backlog, loop.oldest];
    const poll = { timeout: 30_000 };
    await expect.poll(known, poll).toEqual([2, made[0]?.createdAt]);
    gates[0]?.resolve();
    await expect.poll(known, poll).toEqual([1, made[1]?.createdAt]);
    gates[1]?.resolve();
    await expect.poll(known, poll).toEqual([0, undefined]);
    stop.abort();
    await running;
  });

  test.each([
    ['manifest/corrupt', 'what lies there under its id cannot be read'],
    ['store/too-large', 'larger than the store takes'],
    ['disk/failing', 'the disk fails where it lies'],
  ])('%s: %s; the others go up', async (code) => {
    const [first, second] = [await make(1, local), await make(2, local)];
    const publish: Store['publish'] = async (manifest, archive, signal) => {
      if (manifest.id === first.manifest.id) throw new DropbackError(code, 'no', { hint: 'h' });
      await LocalStore.prototype.publish.call(remote, manifest, archive, signal);
    };
    const uploads = uploadsTo(Object.defineProperty(remote, 'publish', { value: publish }));
    const result = await uploads.drain(never);
    expect(result).toMatchObject({ uploaded: [second.manifest.id], cutShort: false });
    expect(result).toMatchObject({ remaining: [first.manifest.id], error: { code } });
  });
});
