import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatArchiveId,
  freeArchiveId,
  isArchiveExtension,
  parseArchiveId,
  parseBackupFile,
  partialFolderOf,
} from '../../../src/core/archive/archive-name.ts';

const at = new Date('2026-11-22T19:15:00.999Z');
const names = fc.stringMatching(/^[a-z0-9._-]{1,40}$/);
const times = fc.date({
  min: new Date('1970-01-01T00:00:00Z'),
  max: new Date('9999-12-31T23:59:59Z'),
  noInvalidDate: true,
});

describe('archive ids', () => {
  test('have the form that the design shows', () => {
    expect(formatArchiveId('app', at)).toBe('app_20261122T191500Z');
  });

  test('are parsed to the same name and second', () => {
    fc.assert(
      fc.property(names, times, (name, time) => {
        const parsed = parseArchiveId(formatArchiveId(name, time));
        expect(parsed?.name).toBe(name);
        expect(parsed?.at.getTime()).toBe(Math.floor(time.getTime() / 1000) * 1000);
      }),
    );
  });

  test('sort by time within one name', () => {
    fc.assert(
      fc.property(names, times, times, (name, one, other) => {
        const [a, b] = [formatArchiveId(name, one), formatArchiveId(name, other)];
        const seconds = (time: Date) => Math.floor(time.getTime() / 1000);
        expect(Math.sign(a < b ? -1 : a > b ? 1 : 0)).toBe(
          Math.sign(seconds(one) - seconds(other)),
        );
      }),
    );
  });

  test.each([
    'app_20260230T000000Z',
    'app_20261122T246000Z',
    'app_20261122T191500',
    '_20261122T191500Z',
    'App_20261122T191500Z',
    '../x_20261122T191500Z',
    'app',
    '',
  ])('%s is none', (text) => {
    expect(parseArchiveId(text)).toBeUndefined();
  });

  test('a collision takes the next second', () => {
    const taken = new Set(['app_20261122T191500Z', 'app_20261122T191501Z']);
    expect(freeArchiveId('app', at, (id) => taken.has(id))).toBe('app_20261122T191502Z');
  });
});

describe('files of a backup', () => {
  const id = 'app_20261122T191500Z';
  test.each([
    [`${id}.dump.zst`, 'archive'],
    [`${id}.db`, 'archive'],
    [`${id}.dump.zst.partial`, 'archive-partial'],
    [`${id}.tar.partial.d`, 'archive-partial-folder'],
    [`${id}.json`, 'manifest'],
    [`${id}.json.partial`, 'manifest-partial'],
    [`${id}.json.removing`, 'manifest-removing'],
    [`${id}.state.json`, 'state'],
    [`.${id}.state.json.0123456789ab.tmp`, 'temporary'],
  ])('%s is %s', (file, kind) => {
    expect(parseBackupFile('app', file)).toEqual({ id, kind });
  });

  test.each([
    'app2_20261122T191500Z.json',
    'app_x_20261122T191500Z.json',
    'xapp_20261122T191500Z.json',
    `${id}`,
    `${id}x.json`,
    `${id}.dump/../../x`,
    `${id}.state.json.partial.partial`,
    `${id}.partial.d`,
    `${id}.tar.d.partial.d.partial.d`,
    '.hidden',
    '',
  ])('%s is not ours', (file) => {
    expect(parseBackupFile('app', file)).toBeUndefined();
  });

  test('the folder of an archive has one name, whether the archive is finished or not', () => {
    const folder = `/backups/app/${id}.tar.partial.d`;
    expect(partialFolderOf(`/backups/app/${id}.tar.partial`)).toBe(folder);
    expect(partialFolderOf(`/backups/app/${id}.tar`)).toBe(folder);
  });

  test('no archive is called like a manifest, a state or a partial file', () => {
    const none = [
      '.json',
      '.state.json',
      '.partial',
      '.dump.partial',
      '.tar.partial.d',
      '',
      '.x_y',
    ];
    for (const extension of none) {
      expect(isArchiveExtension(extension)).toBe(false);
    }
    for (const extension of ['.dump', '.dump.zst', '.tar.zst.age', '.db']) {
      expect(isArchiveExtension(extension)).toBe(true);
    }
  });
});
