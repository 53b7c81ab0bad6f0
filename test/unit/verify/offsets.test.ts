import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { selectBackups } from '../../../src/backup/verify/selection.ts';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { Catalogue } from '../../../src/core/stores/catalogue.ts';
import { LocalStore } from '../../../src/core/stores/local/store.ts';
import { sampleBackup } from '../../support/backups.ts';
import { failureOf } from '../../support/failure.ts';

vi.setConfig({ testTimeout: 120_000 });

const never = new AbortController().signal;
let folder: string;
let store: LocalStore;
let manifest: Manifest;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-offsets-'));
  store = new LocalStore(join(folder, 'app'), 'app');
  const source = await sampleBackup(join(folder, 'source'), { bytes: 200 });
  manifest = source.manifest;
  await store.publish(manifest, { path: source.path }, never);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Each byte in turn, with another bit changed each time. */
async function everyByte(path: string, found: (offset: number) => Promise<void>): Promise<void> {
  const whole = await readFile(path);
  for (let offset = 0; offset < whole.length; offset++) {
    const changed = Buffer.from(whole);
    changed[offset] = (changed[offset] ?? 0) ^ (1 << (offset % 8));
    await writeFile(path, changed);
    await found(offset);
  }
  await writeFile(path, whole);
}

test('a changed byte of an archive is found, whichever it is', async () => {
  await store.verify(manifest, never);
  await everyByte(store.archivePath(manifest), async (offset) => {
    const error = await failureOf(store.verify(manifest, never));
    expect(error.code, `byte ${offset}`).toBe('store/corrupt');
  });
  await store.verify(manifest, never);
});

test('a changed byte of a manifest is found, and told of the backup that it is of', async () => {
  const catalogue = new Catalogue(store, undefined, systemClock);
  await everyByte(join(folder, 'app', `${manifest.id}.json`), async (offset) => {
    const view = await catalogue.list(never);
    expect(view.entries, `byte ${offset}`).toEqual([]);
    for (const selection of ['latest', 'all', { id: manifest.id }] as const) {
      const [selected] = selectBackups(view, 'app', selection, new Date());
      expect(selected?.id).toBe(manifest.id);
      expect(selected?.copies).toMatchObject([
        { where: 'local', damage: { name: 'DropbackError' } },
      ]);
    }
  });
});
