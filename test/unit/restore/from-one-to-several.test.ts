import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { noCheckpoint } from '../../../src/restore/checkpoint.ts';
import { refuseUnfinished } from '../../../src/restore/drop-folder/from-one-to-several.ts';
import { Journal } from '../../../src/restore/journal/journal.ts';
import { StoppedFile } from '../../../src/restore/journal/stopped.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-places-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const refused = { code: 'restore/unfinished-elsewhere' };
const stopped = { restoreId: 'x', names: ['web'], at: '2026-11-23T00:00:00Z' };

it('lets a first start pass, and one after finished restores', async () => {
  const file = join(folder, 'state.json');
  await refuseUnfinished(file);
  await refuseUnfinished(file, ['shop']);
  const journal = new Journal(file, noCheckpoint);
  await journal.load();
  await journal.write(null, 'finished');
  await refuseUnfinished(file, ['shop']);
});

it.each([
  ['one database, now several', 'state.json', ['shop']],
  ['several, now one', 'state/shop/state.json', undefined],
  ['an entry that is gone', 'state/shop/state.json', ['blog']],
] as const)('does not forget what is stopped: %s', async (_, path, names) => {
  const file = join(folder, 'state.json');
  const before = join(folder, path);
  await mkdir(dirname(before), { recursive: true });
  await new StoppedFile(before, noCheckpoint).write(stopped);
  await expect(refuseUnfinished(file, names)).rejects.toMatchObject(refused);
  // Where the daemon itself looks, it is its own to finish.
  await refuseUnfinished(file, path === 'state.json' ? undefined : ['shop']);
});

it('takes a journal that cannot be read for an unfinished one', async () => {
  const file = join(folder, 'state.json');
  await writeFile(file, 'torn');
  await expect(refuseUnfinished(file, ['shop'])).rejects.toMatchObject(refused);
});
