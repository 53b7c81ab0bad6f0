import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { placeChecks } from '../../src/backup/place-checks.ts';
import type { PruneDependencies } from '../../src/backup/plan-for.ts';
import { prune, pruneOnDemand } from '../../src/backup/prune.ts';
import { selectBackups } from '../../src/backup/verify/selection.ts';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { ownOrigin, readOrigin } from '../../src/core/archive/origin.ts';
import { withS3Upload } from '../../src/core/archive/state-file.ts';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { silentLogger } from '../../src/core/observability/log.ts';
import { ownFolder } from '../../src/core/requests/backup-status.ts';
import { type Clock, systemClock } from '../../src/core/runtime/clock.ts';
import { Catalogue } from '../../src/core/stores/catalogue.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import type { Store } from '../../src/core/stores/store.ts';
import { asRemote, sampleBackup } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';

const never = new AbortController().signal;
const now = new Date('2026-11-22T20:00:00Z');
const clock: Clock = { ...systemClock, now: () => now };

/** A stack: its ./backups, and the bucket that it shares with others of the same BACKUP_NAME. */
interface Site extends PruneDependencies {
  readonly origin: string;
  readonly remote: Store;
}

describe('two stacks whose databases have one name, in one bucket', () => {
  let root: string;
  let remote: Store;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'dropback-shared-'));
    remote = asRemote(new LocalStore(join(root, 'bucket'), 'app'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const site = async (folder: string): Promise<Site> => {
    const config = parseBackupConfig({
      DATABASE_URL: 'sqlite:////data/app.db',
      BACKUP_DIR: join(root, folder),
      S3_BUCKET: 'bucket',
      S3_KEEP_LAST: '2',
      S3_KEEP_DAILY: '0',
      S3_KEEP_WEEKLY: '0',
      S3_KEEP_MONTHLY: '0',
    });
    const local = new LocalStore(join(root, folder, 'app'), 'app');
    const origin = await ownOrigin(ownFolder(config.backupDir, 'app'));
    return { config, local, remote, clock, log: silentLogger(), origin };
  };
  const make = async ({ local, origin }: Site, day: number, hour: number, minute = 0) => {
    const at = new Date(Date.UTC(2026, 10, day, hour, minute));
    const source = join(root, `${origin}-${at.getTime()}`);
    const { manifest } = await sampleBackup(source, { at, bytes: 100, origin });
    for (const store of [local, remote]) await store.publish(manifest, { path: source }, never);
    const upload = { status: 'uploaded', target: remote.identity, at } as const;
    await local.updateState(manifest.id, (state) => withS3Upload(state, upload));
    return manifest;
  };
  const ids = (made: readonly (Manifest | undefined)[]) => made.map((one) => one?.id).sort();
  const inBucket = async () => [...(await remote.ids(never))].sort();

  test('retention of one removes nothing of the other, and says that there is another', async () => {
    const [a, b] = [await site('a'), await site('b')];
    const ofA: Manifest[] = [];
    const ofB: Manifest[] = [];
    for (const day of [1, 2, 3, 4]) {
      ofA.push(await make(a, day, 1));
      ofB.push(await make(b, day, 2));
    }
    expect(await prune(a, false, never)).toMatchObject({ isShared: true });
    expect(await inBucket()).toEqual([...ids(ofA.slice(2)), ...ids(ofB)].sort());
    await prune(b, false, never);
    expect(await inBucket()).toEqual(ids([...ofA.slice(2), ...ofB.slice(2)]));
    const reports = await pruneOnDemand(a, true, never);
    const told = reports.find(({ where }) => where === 's3')?.others;
    expect(told).toEqual({ ids: ids(ofB.slice(2)), areWriting: true });
    const [doctor] = placeChecks(reports);
    expect(doctor).toMatchObject({ id: 's3/own-place', status: 'warning' });
  });

  test('set up within minutes of each other, neither takes the other for its predecessor', async () => {
    const [a, b] = [await site('a'), await site('b')];
    const ofA = await make(a, 1, 1, 0);
    const ofB = [await make(b, 1, 1, 4), await make(b, 1, 1, 5), await make(b, 1, 1, 6)];
    await prune(b, false, never);
    expect(await inBucket()).toEqual(ids([ofA, ...ofB.slice(1)]));
    // Also where somebody has removed what it had there.
    await remote.remove(ofA, never);
    const [, inS3] = await pruneOnDemand(a, true, never);
    expect(inS3?.others).toEqual({ ids: ids(ofB.slice(1)), areWriting: true });
    expect(inS3?.plan).toMatchObject({ keep: [], remove: [] });
  });

  test('of who had stopped before we began, retention goes on', async () => {
    const before = await site('before');
    const old = [await make(before, 1, 1), await make(before, 2, 1)];
    const after = await site('after');
    const made = [await make(after, 3, 1), await make(after, 4, 1)];
    expect(await prune(after, false, never)).toMatchObject({ isShared: false });
    expect(await inBucket()).toEqual(ids(made));
    expect(placeChecks(await pruneOnDemand(after, true, never))).toMatchObject([{ status: 'ok' }]);
    expect(old).toHaveLength(2);
  });

  test('where the two were taken apart, nobody is warned any more', async () => {
    const [a, b] = [await site('a'), await site('b')];
    await make(a, 1, 1);
    const left = await make(b, 1, 2);
    await make(a, 2, 1);
    await make(a, 3, 1);
    const told = (await pruneOnDemand(a, true, never)).at(-1)?.others;
    expect(told).toEqual({ ids: [left.id], areWriting: false });
  });

  test("‘latest’ is one's own where it lies here, and asked for by id where nobody can tell", async () => {
    const [a, b] = [await site('a'), await site('b')];
    const ofA = await make(a, 1, 1);
    await make(b, 1, 2);
    const lastA = await make(a, 2, 1);
    expect((await new Catalogue(a.local, remote, clock).find('latest', never)).id).toBe(lastA.id);
    const lastB = await make(b, 2, 2);
    // That the other's is there says nothing of ours: this one is gone.
    await remote.remove(lastA, never);
    const afterwards = await new Catalogue(a.local, remote, clock).list(never);
    const [{ copies } = { copies: [] }] = selectBackups(afterwards, 'app', 'latest', now);
    expect(copies).toMatchObject([{ where: 'local' }, { damage: { code: 'verify/copy-gone' } }]);
    await remote.publish(lastA, { path: a.local.archivePath(lastA) }, never);
    const elsewhere = new LocalStore(join(root, 'new-host', 'app'), 'app');
    const seenByA = await new Catalogue(a.local, remote, clock).list(never);
    expect(selectBackups(seenByA, 'app', 'latest', now).map(({ id }) => id)).toEqual([lastA.id]);
    for (const local of [a.local, elsewhere]) {
      const catalogue = new Catalogue(local, remote, clock);
      const error = await failureOf(catalogue.find('latest', never));
      expect(error).toMatchObject({ code: 'store/origin-doubt' });
      expect(error.hint).toContain(lastA.id);
      expect(error.hint).toContain(lastB.id);
      expect((await catalogue.find(ofA.id, never)).id).toBe(ofA.id);
    }
  });
});

test('whose backups these are is noted once, and anew where the note is damaged', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dropback-origin-'));
  try {
    expect(await readOrigin(folder)).toBeUndefined();
    const origin = await ownOrigin(folder);
    expect(origin).toMatch(/^[0-9a-f]{16}$/);
    expect(await ownOrigin(folder)).toBe(origin);
    await writeFile(join(folder, 'origin'), '');
    expect(await readOrigin(folder)).toBeUndefined();
    expect(await ownOrigin(folder)).not.toBe(origin);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
