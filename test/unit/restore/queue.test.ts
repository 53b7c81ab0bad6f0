import { expect, test } from 'vitest';
import { judgeName, safeName } from '../../../src/restore/drop-folder/drop-name.ts';
import { DropQueue } from '../../../src/restore/drop-folder/drop-queue.ts';
import type { Sighting } from '../../../src/restore/drop-folder/scan.ts';

function sighting(name: string, arrivedMs = 0, bytes = 1, inode = name): Sighting {
  const rawName = Buffer.from(name);
  return {
    key: name,
    path: Buffer.concat([Buffer.from('/incoming/'), rawName]),
    rawName,
    mode: 'restore',
    force: false,
    isFile: true,
    type: 'a file',
    bytes,
    arrivedMs,
    identity: inode,
    signature: `${inode}:${bytes}:${arrivedMs}`,
  };
}
const names = (drops: Iterable<{ readonly name: string }>) => [...drops].map(({ name }) => name);

test('by arrival: first seen unchanged, then the time of the change, then name', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.note([sighting('z.sql', 9), sighting('y.sql', 8), sighting('x.sql', 9)], 0);
  queue.note([sighting('a.sql', 1), sighting('z.sql', 9)], 10);
  expect(names(queue.first(10))).toEqual(['y.sql', 'x.sql', 'z.sql', 'a.sql']);
  expect(names(queue.first(2))).toEqual(['y.sql', 'x.sql']);
  expect(names(queue.settled(1000))).toEqual(['y.sql', 'x.sql', 'z.sql']);
});

test('a file has arrived when it stopped growing, whether or not something is in hand', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.note([sighting('begun-first.sql'), sighting('b.sql')], 0);
  queue.note([sighting('begun-first.sql', 1, 2)], 900);
  expect(names(queue.settled(1000))).toEqual(['b.sql']);
  expect(queue.nextDueIn(1200)).toBe(0);
  expect(names(queue.settled(1900))).toEqual(['b.sql', 'begun-first.sql']);
});

test('a file that took the place of another comes last', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.note([sighting('a.sql', 1), sighting('b.sql', 2)], 0);
  queue.note([sighting('a.sql', 3, 1, 'another')], 10);
  expect(names(queue.first(10))).toEqual(['b.sql', 'a.sql']);
});

test('what has gone from the folder is forgotten', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.note([sighting('a.sql'), sighting('b.sql')], 0);
  queue.keepOnly(new Set(['b.sql', 'c.sql']));
  expect(names(queue.first(10))).toEqual(['b.sql']);
});

test('one that looks truncated waits until it is unchanged for long enough', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  queue.note([sighting('a.sql')], 0);
  const [drop] = queue.first(1);
  if (!drop) throw new Error('no drop');
  queue.markIncomplete(drop, 'cut');
  expect(names(queue.settled(4999))).toEqual([]);
  expect(names(queue.settled(5000))).toEqual(['a.sql']);
  queue.note([sighting('a.sql', 0, 2)], 5100);
  expect(queue.first(1)[0]?.incomplete).toBeUndefined();
  expect(names(queue.settled(6100))).toEqual(['a.sql']);
});

test('of many that have settled only the next are looked at again, of the others all', () => {
  const queue = new DropQueue({ quietMs: 1000, settleMs: 5000 });
  const many = Array.from({ length: 1000 }, (_, at) =>
    sighting(`${String(at).padStart(4, '0')}.sql`),
  );
  queue.note(many, 0);
  expect(queue.toWatch(0)).toHaveLength(1000);
  const [first, second] = queue.first(2);
  if (!first || !second) throw new Error('no drops');
  queue.markIncomplete(second, 'cut');
  expect(queue.toWatch(1000)).toHaveLength(201);
  expect(names(queue.toWatch(1000)).slice(0, 2)).toEqual(['0000.sql', '0001.sql']);
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
