import {
  chmod,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/core/archive/manifest.ts';
import { serialiseManifest } from '../../src/core/archive/manifest-file.ts';
import { withS3Upload, withVerification } from '../../src/core/archive/state-file.ts';
import { LocalStore } from '../../src/core/stores/local/store.ts';
import { sampleBackup } from '../support/backups.ts';
import { failureOf } from '../support/failure.ts';

const never = new AbortController().signal;
const here = { target: 's3://backups/app at AWS', at: new Date('2026-11-22T19:15:00Z') };

describe('local store, around crashes', () => {
  let root: string;
  let folder: string;
  let store: LocalStore;
  let manifest: Manifest;
  let content: Buffer;
  let source: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'dropback-local-'));
    folder = join(root, 'app');
    await mkdir(folder);
    store = new LocalStore(folder, 'app');
    source = join(root, 'source');
    ({ manifest, content } = await sampleBackup(source));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const archive = () => join(folder, manifest.archive.file);
  const sealed = () => join(folder, `${manifest.id}.json`);
  const files = async () => (await readdir(folder)).sort();
  const listed = async () => (await store.list(never)).backups;
  const whole = () => [manifest.archive.file, `${manifest.id}.json`].sort();

  test('a spool is moved, not copied, and modes are private', async () => {
    const spool = store.spoolPath(manifest.archive.file);
    await rename(source, spool);
    const { ino } = await stat(spool);
    await store.publish(manifest, { path: spool }, never);
    expect((await stat(archive())).ino).toBe(ino);
    expect(await files()).toEqual(whole());
    for (const path of [archive(), sealed()]) expect((await stat(path)).mode & 0o777).toBe(0o600);
    const fresh = new LocalStore(join(root, 'deep', 'app'), 'app');
    await fresh.prepare();
    expect((await stat(join(root, 'deep', 'app'))).mode & 0o777).toBe(0o700);
  });

  /** What lies there when the daemon dies after each step of publishing. */
  const crashes: readonly (readonly [string, () => Promise<void>, boolean])[] = [
    [
      'while the archive is written',
      () => writeFile(`${archive()}.partial`, content.subarray(9)),
      false,
    ],
    ['after the archive is written', () => copyFile(source, `${archive()}.partial`), false],
    [
      'while the manifest is written',
      async () => {
        await copyFile(source, `${archive()}.partial`);
        await writeFile(`${sealed()}.partial`, serialiseManifest(manifest).subarray(0, 99));
      },
      false,
    ],
    [
      'after the manifest is written',
      async () => {
        await copyFile(source, `${archive()}.partial`);
        await writeFile(`${sealed()}.partial`, serialiseManifest(manifest));
      },
      true,
    ],
    [
      'between link and unlink of the archive',
      async () => {
        await copyFile(source, `${archive()}.partial`);
        await link(`${archive()}.partial`, archive());
        await writeFile(`${sealed()}.partial`, serialiseManifest(manifest));
      },
      true,
    ],
    [
      'after the archive has its name',
      async () => {
        await copyFile(source, archive());
        await writeFile(`${sealed()}.partial`, serialiseManifest(manifest));
      },
      true,
    ],
    [
      'between link and unlink of the manifest',
      async () => {
        await copyFile(source, archive());
        await writeFile(`${sealed()}.partial`, serialiseManifest(manifest));
        await link(`${sealed()}.partial`, sealed());
      },
      true,
    ],
  ];

  test.each(crashes)(
    'killed %s: a sweep leaves all of it or nothing',
    async (_, crash, complete) => {
      await crash();
      const report = await store.sweep(never);
      expect(await listed()).toEqual(complete ? [manifest] : []);
      expect(await files()).toEqual(complete ? whole() : []);
      expect(report.strays).toEqual([]);
      expect(await store.sweep(never)).toEqual({
        ...{ rolledForward: [], removed: [], swept: [], strays: [] },
      });
      if (complete) await store.confirm(manifest, never);
    },
  );

  test('a complete-looking pair whose archive is damaged is not rolled forward', async () => {
    const damaged = Buffer.from(content);
    damaged[7] = (damaged[7] ?? 0) ^ 1;
    await writeFile(`${archive()}.partial`, damaged);
    await writeFile(`${sealed()}.partial`, serialiseManifest(manifest));
    const report = await store.sweep(never);
    expect(report.rolledForward).toEqual([]);
    expect(await files()).toEqual([]);
  });

  test('a folder in which an archive was put together is swept; a link of its name not followed', async () => {
    const outside = join(root, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'kept'), 'kept');
    await mkdir(join(`${archive()}.partial.d`, 'deep'), { recursive: true });
    await writeFile(join(`${archive()}.partial.d`, 'deep', 'toc.dat'), 'x');
    const linked = 'app_20261122T191501Z.tar.partial.d';
    await symlink(outside, join(folder, linked));
    expect(await store.list(never)).toEqual({ backups: [], strays: [] });
    const report = await store.sweep(never);
    expect(report.swept).toEqual([`${manifest.archive.file}.partial.d`, linked]);
    expect(await files()).toEqual([]);
    expect(await readdir(outside)).toEqual(['kept']);
  });

  test('an orphan under a final name, and foreign files, are reported and kept', async () => {
    await writeFile(archive(), content);
    await writeFile(join(folder, 'other_20261122T191500Z.dump.partial'), 'other');
    await writeFile(join(folder, '.hidden.partial'), 'x');
    const before = await files();
    const report = await store.sweep(never);
    expect(await files()).toEqual(before);
    expect(report.strays).toHaveLength(3);
    expect(report.swept).toEqual([]);
  });

  test('a removal that was cut short is finished, and is not listed meanwhile', async () => {
    await store.publish(manifest, { path: source }, never);
    await store.updateState(manifest.id, (state) =>
      withS3Upload(state, { status: 'pending', ...here }),
    );
    await rename(sealed(), `${sealed()}.removing`);
    expect(await store.list(never)).toEqual({ backups: [], strays: [] });
    expect((await store.sweep(never)).removed).toEqual([manifest.id]);
    expect(await files()).toEqual([`${manifest.id}.state.json`]);
  });

  test('the state outlives its backup, for S3 may still have it, and is no stray', async () => {
    await store.publish(manifest, { path: source }, never);
    await store.updateState(manifest.id, (state) =>
      withS3Upload(state, { status: 'uploaded', ...here }),
    );
    await store.remove(manifest, never);
    expect(await files()).toEqual([`${manifest.id}.state.json`]);
    expect(await store.list(never)).toEqual({ backups: [], strays: [] });
    expect(await store.sweep(never)).toMatchObject({ swept: [], strays: [] });
    expect([...(await store.ids(never))]).toEqual([]);
    expect([...(await store.stateIds())]).toEqual([manifest.id]);
    await store.dropState(manifest.id);
    await store.dropState(manifest.id);
    expect(await files()).toEqual([]);
  });

  test('listing and fetching write nothing in the folder', async () => {
    await store.publish(manifest, { path: source }, never);
    await chmod(folder, 0o500);
    const before = await stat(folder, { bigint: true });
    await store.list(never);
    await store.fetch(manifest, join(root, 'fetched'), never);
    await store.confirm(manifest, never);
    await store.readState(manifest.id);
    const after = await stat(folder, { bigint: true });
    expect([after.mtimeNs, after.ctimeNs]).toEqual([before.mtimeNs, before.ctimeNs]);
    expect(await readFile(join(root, 'fetched'))).toEqual(content);
  });

  test('links and folders in place of files are neither followed nor believed', async () => {
    await store.publish(manifest, { path: source }, never);
    await rename(archive(), join(root, 'elsewhere'));
    await symlink(join(root, 'elsewhere'), archive());
    expect(await listed()).toEqual([]);
    await failureOf(store.fetch(manifest, join(root, 'fetched'), never));
    await rm(sealed());
    await mkdir(sealed());
    expect(await listed()).toEqual([]);
    expect((await store.list(never)).strays.map(({ name }) => name)).toContain(
      `${manifest.id}.json`,
    );
  });

  test('a spool that cannot be published stays for the caller, and nothing is listed', async () => {
    const spool = store.spoolPath(manifest.archive.file);
    await writeFile(spool, content.subarray(1));
    const failure = await failureOf(store.publish(manifest, { path: spool }, never));
    expect(failure.code).toBe('store/corrupt');
    expect(await files()).toEqual([`${manifest.archive.file}.partial`]);
  });

  test('the copy that a SQLite backup is working on is no stray', async () => {
    const copy = join(root, 'backups', 'app', '.app.db.dropback_c_0123456789abcdef');
    await mkdir(copy, { recursive: true });
    await mkdir(`${copy}x`);
    const { strays } = await new LocalStore(join(root, 'backups', 'app'), 'app').list(never);
    expect(strays.map(({ name }) => name)).toEqual([`${basename(copy)}x`]);
  });

  test('free space is told, also before the folder exists', async () => {
    const fresh = new LocalStore(join(root, 'not', 'yet'), 'app');
    expect(await fresh.freeBytes()).toBeGreaterThan(0);
    expect(await fresh.list(never)).toEqual({ backups: [], strays: [] });
  });
});

describe('state of a backup', () => {
  let folder: string;
  let store: LocalStore;
  const id = 'app_20261122T191500Z';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropback-state-'));
    store = new LocalStore(folder, 'app');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('many updates at once lose none', async () => {
    await Promise.all(
      Array.from({ length: 30 }, () =>
        store.updateState(id, (state) => withS3Upload(state, { status: 'failed', ...here })),
      ),
    );
    expect((await store.readState(id)).uploads.s3?.attempts).toBe(30);
  });

  test('the latest verifications are kept, a bounded number', async () => {
    for (let n = 0; n < 25; n++) {
      await store.updateState(id, (state) =>
        withVerification(state, {
          ...{ kind: 'archive', status: 'ok', durationMs: n },
          at: new Date(0).toISOString(),
        }),
      );
    }
    const { verifications } = await store.readState(id);
    expect(verifications.map(({ durationMs }) => durationMs)).toEqual(
      Array.from({ length: 20 }, (_, n) => n + 5),
    );
  });

  test('a damaged one counts as not uploaded and not verified, and can be written again', async () => {
    await writeFile(join(folder, `${id}.state.json`), '{"version":1,"uploads":{"s3":{"sta');
    expect(await store.readState(id)).toEqual({ version: 1, uploads: {}, verifications: [] });
    const state = await store.updateState(id, (old) =>
      withS3Upload(old, {
        ...here,
        status: 'failed',
        error: { code: 'a/b', message: 'm', hint: 'h' },
      }),
    );
    expect(await store.readState(id)).toEqual(state);
  });

  test('a change that throws leaves the old state, and the next one works', async () => {
    await store.updateState(id, (state) => withS3Upload(state, { status: 'uploaded', ...here }));
    await expect(
      store.updateState(id, () => {
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect((await store.readState(id)).uploads.s3?.status).toBe('uploaded');
  });
});
