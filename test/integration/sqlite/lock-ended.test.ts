import { readdirSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lockFile } from '../../../src/core/engines/sqlite/lock.ts';
import { Site } from './support.ts';

/** Not every one is hit within the write. */
const TIMES = 12;

test('a lock that is given up while its file is written leaves no journal', async () => {
  const site = new Site();
  try {
    site.fill('wal', 1);
    const { folder } = site;
    const left = () => readdirSync(folder).filter((name) => name.endsWith('-journal'));
    for (let n = 0; n < TIMES; n++) {
      const stop = new AbortController();
      using watcher = watching(folder, () => stop.abort());
      const taking = site.backup.lock({ purpose: 'backup', waitMs: 0 }, stop.signal);
      const lock = await taking.catch(() => undefined);
      await lock?.[Symbol.asyncDispose]();
      expect(watcher.told).toBe(true);
      expect(left()).toEqual([]);
      rmSync(join(folder, lockFile('app.db')), { force: true });
    }
  } finally {
    site.dispose();
  }
});

/** `act`, as soon as a journal appears. */
function watching(folder: string, act: () => void): Disposable & { told: boolean } {
  const state = { told: false, [Symbol.dispose]: () => watcher.close() };
  const watcher = watch(folder, (_, name) => {
    if (!name?.endsWith('-journal')) return;
    state.told = true;
    act();
  });
  return state;
}
