import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { serialiseManifest } from '../../../src/core/archive/manifest-file.ts';
import type { Store } from '../../../src/core/stores/store.ts';
import { sampleBackup, sampleManifest } from '../../support/backups.ts';
import { failureOf } from '../../support/failure.ts';

/** A fresh store for the database `app`, and hands that reach past it. */
export interface StoreUnderTest {
  readonly store: Store;
  /** Puts a file with that name beside the store's own, replacing one. */
  put(file: string, content: Uint8Array): Promise<void>;
  /** Deletes a file of the store behind its back. */
  drop(file: string): Promise<void>;
  /** Names of all files that lie there, sorted. */
  files(): Promise<string[]>;
  dispose(): Promise<void>;
}

const never = new AbortController().signal;
const at = (second: number) => new Date(Date.UTC(2026, 10, 22, 19, 15, second));

/** What every store promises, as `store.ts` has it. */
export function describeStore(kind: string, create: () => Promise<StoreUnderTest>): void {
  describe(`${kind} store`, () => {
    let folder: string;
    let it: StoreUnderTest;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'dropback-store-'));
      it = await create();
    });
    afterEach(async () => {
      await it.dispose();
      await rm(folder, { recursive: true, force: true });
    });

    const sample = (second: number, bytes?: number) =>
      sampleBackup(join(folder, `source-${second}`), {
        at: at(second),
        ...(bytes === undefined ? {} : { bytes }),
      });
    const publish = async (second: number, bytes?: number) => {
      const backup = await sample(second, bytes);
      await it.store.publish(backup.manifest, { path: backup.path }, never);
      return backup;
    };
    const listed = async () => (await it.store.list(never)).backups.map(({ id }) => id);

    test('is empty at first', async () => {
      expect(await it.store.list(never)).toEqual({ backups: [], strays: [] });
    });

    test('verify reads every byte where it lies, and writes nothing', async () => {
      const { manifest, content } = await publish(1, 70_000);
      const files = await it.files();
      let seen = 0;
      await it.store.verify(manifest, never, (bytes) => {
        seen = bytes;
      });
      expect(seen).toBe(70_000);
      for (const offset of [0, 35_001, 69_999]) {
        const changed = Buffer.from(content);
        changed[offset] = (changed[offset] ?? 0) ^ 1;
        await it.put(manifest.archive.file, changed);
        const error = await failureOf(it.store.verify(manifest, never));
        expect(error.code).toBe('store/corrupt');
      }
      await it.put(manifest.archive.file, content);
      await it.store.verify(manifest, never);
      expect(await it.files()).toEqual(files);
      const other = await sample(2);
      expect((await failureOf(it.store.verify(other.manifest, never))).code).toBe(
        'store/not-found',
      );
    });

    test('lists what was published, oldest first, manifests whole', async () => {
      const [second, first] = [await publish(2), await publish(1)];
      const { backups, strays } = await it.store.list(never);
      expect(backups).toEqual([first.manifest, second.manifest]);
      expect(strays).toEqual([]);
    });

    test.each([0, 1, 100_000, 5_000_000, 12_345_678])(
      'gives back %i bytes as they were',
      async (bytes) => {
        const { manifest, content } = await publish(1, bytes);
        const destination = join(folder, 'fetched');
        let progress = 0;
        await it.store.fetch(manifest, destination, never, (done) => {
          progress = done;
        });
        const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');
        expect(sha256(await readFile(destination))).toBe(sha256(content));
        expect(progress).toBe(bytes);
        expect((await stat(destination)).mode & 0o777).toBe(0o600);
        await it.store.confirm(manifest, never);
      },
    );

    test('never overwrites a backup', async () => {
      const { manifest } = await publish(1);
      const other = await sample(1, 500);
      const failure = await failureOf(
        it.store.publish(other.manifest, { path: other.path }, never),
      );
      expect(failure.code).toBe('store/exists');
      expect((await it.store.list(never)).backups).toEqual([manifest]);
      await it.store.confirm(manifest, never);
    });

    test('never overwrites an archive that no manifest names', async () => {
      const backup = await sample(1);
      await it.put(backup.manifest.archive.file, Buffer.from('someone else'));
      const failure = await failureOf(
        it.store.publish(backup.manifest, { path: backup.path }, never),
      );
      expect(failure.code).toBe('store/exists');
      expect(await listed()).toEqual([]);
    });

    test('refuses an archive that is not what the manifest says, and lists nothing', async () => {
      const short = await sample(1);
      const wrongSize: Manifest = {
        ...short.manifest,
        archive: { ...short.manifest.archive, bytes: short.manifest.archive.bytes + 1 },
      };
      const wrongHash: Manifest = {
        ...short.manifest,
        archive: { ...short.manifest.archive, sha256: '0'.repeat(64) },
      };
      for (const manifest of [wrongSize, wrongHash]) {
        const failure = await failureOf(it.store.publish(manifest, { path: short.path }, never));
        expect(failure.code).toBe('store/corrupt');
      }
      expect(await listed()).toEqual([]);
      const large = await sample(2, 12_000_000);
      const manifest = { ...wrongHash, id: large.manifest.id };
      manifest.archive = { ...large.manifest.archive, sha256: '0'.repeat(64) };
      expect((await failureOf(it.store.publish(manifest, { path: large.path }, never))).code).toBe(
        'store/corrupt',
      );
      expect(await listed()).toEqual([]);
    });

    test('refuses what belongs to another database', async () => {
      const content = Buffer.from('x');
      const foreign = sampleManifest(content, { name: 'other' });
      const path = join(folder, 'none');
      for (const attempt of [
        it.store.publish(foreign, { path }, never),
        it.store.fetch(foreign, path, never),
        it.store.confirm(foreign, never),
        it.store.remove(foreign, never),
      ]) {
        expect((await failureOf(attempt)).code).toBe('store/refused');
      }
    });

    test('removes a backup and nothing else; missing is fine', async () => {
      const [first, second] = [await publish(1), await publish(2)];
      await it.put('notes.txt', Buffer.from('mine'));
      await it.store.remove(first.manifest, never);
      await it.store.remove(first.manifest, never);
      expect(await listed()).toEqual([second.manifest.id]);
      const { id, archive } = second.manifest;
      expect(await it.files()).toEqual(['notes.txt', archive.file, `${id}.json`].sort());
    });

    test('does not remove another backup under the same id', async () => {
      const { manifest } = await publish(1);
      const other = sampleManifest(Buffer.from('other'), { at: at(1) });
      expect((await failureOf(it.store.remove(other, never))).code).toBe('store/corrupt');
      expect(await listed()).toEqual([manifest.id]);
    });

    test('fetch and confirm say when a backup is not there', async () => {
      const { manifest } = await sample(1);
      const destination = join(folder, 'fetched');
      expect((await failureOf(it.store.confirm(manifest, never))).code).toBe('store/not-found');
      expect((await failureOf(it.store.fetch(manifest, destination, never))).code).toBe(
        'store/not-found',
      );
      expect(await readdir(folder)).not.toContain('fetched');
    });

    test('never writes over the destination of a fetch', async () => {
      const { manifest, path, content } = await publish(1);
      await failureOf(it.store.fetch(manifest, path, never));
      expect(await readFile(path)).toEqual(content);
    });

    test('a damaged archive is found by fetch, which leaves no file', async () => {
      const { manifest, content } = await publish(1);
      const damaged = Buffer.from(content);
      damaged[5000] = (damaged[5000] ?? 0) ^ 1;
      await it.put(manifest.archive.file, damaged);
      const failure = await failureOf(it.store.fetch(manifest, join(folder, 'fetched'), never));
      expect(failure.code).toBe('store/corrupt');
      expect(await readdir(folder)).not.toContain('fetched');
    });

    test('does not list what is incomplete, and says why', async () => {
      const [cut, gone, damaged, whole] = [
        await publish(1),
        await publish(2),
        await publish(3),
        await publish(4),
      ];
      await it.put(cut.manifest.archive.file, cut.content.subarray(1));
      await it.drop(gone.manifest.archive.file);
      await it.put(`${damaged.manifest.id}.json`, Buffer.from('{}'));
      const orphan = 'app_20260101T000000Z.dump.zst';
      await it.put(orphan, Buffer.from('orphan'));
      await it.put('app2_20260101T000000Z.json', Buffer.from('{}'));
      // A damaged backup is one that somebody may still want to know of.
      const manifests = [cut, gone, damaged, whole].map(({ manifest }) => manifest.id);
      expect([...(await it.store.ids(never))].sort()).toEqual(manifests);
      const { backups, strays } = await it.store.list(never);
      expect(backups.map(({ id }) => id)).toEqual([whole.manifest.id]);
      const names = strays.map(({ name }) => name);
      for (const name of [
        `${cut.manifest.id}.json`,
        `${gone.manifest.id}.json`,
        `${damaged.manifest.id}.json`,
        orphan,
        'app2_20260101T000000Z.json',
      ]) {
        expect(names).toContain(name);
      }
    });

    test('a manifest under another id is not believed', async () => {
      const { manifest } = await publish(1);
      await it.put('app_20260101T000000Z.json', serialiseManifest(manifest));
      expect(await listed()).toEqual([manifest.id]);
    });

    test('an aborted publish lists nothing, and can be done again', async () => {
      const backup = await sample(1, 6_000_000);
      const stop = new AbortController();
      const publishing = it.store.publish(backup.manifest, { path: backup.path }, stop.signal);
      stop.abort();
      expect((await failureOf(publishing)).code).toBe('run/aborted');
      expect(await listed()).toEqual([]);
      await it.store.publish(backup.manifest, { path: backup.path }, never);
      expect(await listed()).toEqual([backup.manifest.id]);
    });

    test('checks do what a backup does, and leave nothing behind', async () => {
      const results = await it.store.checks(never);
      expect(results.filter(({ status }) => status === 'failed')).toEqual([]);
      expect(results.length).toBeGreaterThan(0);
      expect(await it.files()).toEqual([]);
    });
  });
}
