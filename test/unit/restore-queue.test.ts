import { expect, test } from 'vitest';
import { judgeName, safeName } from '../../src/restore/drop-folder/drop-name.ts';
import { DropQueue } from '../../src/restore/drop-folder/drop-queue.ts';
import type { Sighting } from '../../src/restore/drop-folder/scan.ts';

function sighting(name: string, mtimeMs = 0, bytes = 1): Sighting {
  const rawName = Buffer.from(name);
  return {
    path: Buffer.concat([Buffer.from('/incoming/'), rawName]),
    rawName,
    mode: 'restore',
    force: false,
    isFile: true,
    type: 'a file',
    bytes,
    mtimeMs,
    signature: `${name}:${bytes}:${mtimeMs}`,
  };
}
const scan = (...sightings: Sighting[]) => ({ sightings, foreign: [] });
const names = (drops: readonly { readonly name: string }[]) => drops.map(({ name }) => name);

test('by arrival: first seen, then time, then name', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.update(scan(sighting('z.sql', 9), sighting('y.sql', 8), sighting('x.sql', 9)), 0);
  const late = sighting('a.sql', 1);
  queue.update(scan(late, sighting('z.sql', 9), sighting('y.sql', 8), sighting('x.sql', 9)), 10);
  expect(names(queue.drops)).toEqual(['y.sql', 'x.sql', 'z.sql', 'a.sql']);
  expect(names(queue.settled(1000))).toEqual(['y.sql', 'x.sql', 'z.sql']);
});

test('a growing file keeps its place but is not due', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.update(scan(sighting('a.sql'), sighting('b.sql')), 0);
  queue.update(scan(sighting('a.sql', 0, 2), sighting('b.sql')), 900);
  expect(names(queue.settled(1000))).toEqual(['b.sql']);
  expect(queue.nextDueIn(1200)).toBe(0);
  expect(names(queue.settled(1900))).toEqual(['a.sql', 'b.sql']);
});

test('one that looks truncated waits until it is unchanged for long enough', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.update(scan(sighting('a.sql')), 0);
  const [drop] = queue.drops;
  if (!drop) throw new Error('no drop');
  queue.markIncomplete(drop, 'cut');
  expect(queue.settled(4999)).toEqual([]);
  expect(names(queue.settled(5000))).toEqual(['a.sql']);
  queue.update(scan(sighting('a.sql', 0, 2)), 5100);
  expect(queue.drops[0]?.incomplete).toBeUndefined();
  expect(names(queue.settled(6100))).toEqual(['a.sql']);
});

test('a foreign file is told once, and again when it comes back', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  const withReadme = { sightings: [], foreign: [Buffer.from('README')] };
  expect(queue.update(withReadme, 0)).toEqual(['README']);
  expect(queue.update(withReadme, 1)).toEqual([]);
  expect(queue.update(scan(), 2)).toEqual([]);
  expect(queue.update(withReadme, 3)).toEqual(['README']);
});

test.for([
  ['app.sql', { kind: 'drop', force: false }],
  ['app.force.sql.gz', { kind: 'drop', force: true }],
  ['app.sql.part', { kind: 'temporary' }],
  ['.app.sql.aB3dE5', { kind: 'temporary' }],
  ['app.sql.crdownload', { kind: 'temporary' }],
  ['app.sql.filepart', { kind: 'temporary' }],
  ['app.sql~', { kind: 'temporary' }],
  ['README.md', { kind: 'foreign' }],
  ['app.gz', { kind: 'foreign' }],
] as const)('%s', ([name, verdict]) => {
  expect(judgeName(name)).toEqual(verdict);
});

test.for([
  [Buffer.from('app.sql'), 'app.sql'],
  [Buffer.from('données 2026.sql'), 'données 2026.sql'],
  [Buffer.from('a\nb"\u001b[31m.sql'), 'a_b__[31m.sql'],
  [Buffer.from('--rf.sql'), '__rf.sql'],
  [Buffer.from([0xff, 0x2e, 0x73, 0x71, 0x6c]), '_.sql'],
  [Buffer.from('x\u202egnp.sql'), 'x_gnp.sql'],
] as const)('a safe name for %j', ([raw, name]) => {
  expect(safeName(raw)).toBe(name);
});

test('long names are cut, stay apart, and keep their extension', () => {
  const long = (last: string) => safeName(Buffer.from(`${'é'.repeat(120)}${last}.sql.gz`));
  expect(Buffer.byteLength(long('a'))).toBeLessThanOrEqual(200);
  expect(long('a')).toMatch(/\.sql\.gz$/);
  expect(long('a')).not.toBe(long('b'));
});
