import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { PackedNames } from '../../../src/core/engines/postgres/backup/packed-names.ts';

test('every reader is told all names once, those from before it came too', async () => {
  const names = new PackedNames();
  names.add('1.dat');
  const [early, late] = [new PassThrough(), new PassThrough()];
  const first = Promise.all([names.feed(early), text(early)]);
  names.add('2.dat');
  names.add('1.dat');
  await new Promise(setImmediate);
  const second = Promise.all([names.feed(late), text(late)]);
  names.add('toc.dat');
  names.complete();
  expect((await first)[1]).toBe('1.dat\x002.dat\0toc.dat\0');
  expect((await second)[1]).toBe('1.dat\x002.dat\0toc.dat\0');
});

test('a slow reader is waited for', async () => {
  const names = new PackedNames();
  for (let n = 0; n < 20_000; n++) names.add(`${n}.dat`);
  names.complete();
  let most = 0;
  let told = '';
  const slow = new Writable({
    highWaterMark: 100,
    write(chunk: Buffer, _, done) {
      most = Math.max(most, slow.writableLength);
      told += String(chunk);
      setImmediate(done);
    },
  });
  await names.feed(slow);
  await new Promise((resolve) => slow.once('finish', resolve));
  expect(told.split('\0')).toHaveLength(20_001);
  expect(most).toBeLessThan(20_000);
});

test('a reader that goes away ends the feeding, though names are to come', async () => {
  const names = new PackedNames();
  names.add('1.dat');
  const gone = new PassThrough();
  const feeding = names.feed(gone);
  await new Promise(setImmediate);
  gone.destroy();
  await feeding;
});
