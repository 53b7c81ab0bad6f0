import { expect, it } from 'vitest';
import { sizeDrop } from '../../../src/backup/size-drop.ts';
import type { Manifest } from '../../../src/core/archive/manifest.ts';

/** Backups of these sizes, oldest first. */
const backups = (...sizes: number[]) => sizes.map((bytes, at) => backup(at, bytes));

function backup(at: number, bytes: number, form: object = {}): Manifest {
  const id = `app_202611${String(at + 1).padStart(2, '0')}T000000Z`;
  return {
    id,
    archive: { format: 'sqlite-file', compression: 'zstd', bytes, ...form },
  } as Manifest;
}

it.each<[string, number, number[], number | undefined]>([
  ['less than half', 49, [100, 90, 110], 100],
  ['half is not less', 50, [100, 90, 110], undefined],
  ['those that were small before are no measure', 49, [1, 100, 100, 100, 2], 100],
  ['an even number', 49, [90, 100, 110, 1000], 105],
  ['too few to know', 1, [100, 100], undefined],
  ['only the last ten count', 49, [...Array(9).fill(1000), ...Array(10).fill(60)], undefined],
])('%s: %i after %j', (_name, bytes, sizes, median) => {
  const earlier = backups(...sizes);
  const newest = backup(28, bytes);
  // In whatever order they are listed, and itself among them.
  const found = sizeDrop(newest, [newest, ...earlier.reverse()]);
  expect(found).toEqual(median === undefined ? undefined : { bytes, median });
});

it('compares only what is of the same form', () => {
  const earlier = [0, 1, 2, 3].map((at) => backup(at, 1000, { compression: 'none' }));
  expect(sizeDrop(backup(9, 100), earlier)).toBeUndefined();
});
