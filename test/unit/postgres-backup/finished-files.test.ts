import { appendFile, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FinishedFiles } from '../../../src/core/engines/postgres/backup/finished-files.ts';
import { PackedNames } from '../../../src/core/engines/postgres/backup/packed-names.ts';

const never = new AbortController().signal;
const finished = (item: number) => `pg_dump: finished item ${item} TABLE DATA t`;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const write = (name: string, content = 'rows') => writeFile(join(folder, name), content);

async function told(names: PackedNames): Promise<string[]> {
  const stdin = new PassThrough();
  const [all] = await Promise.all([text(stdin), names.feed(stdin)]);
  return all.split('\0').slice(0, -1);
}

test('files go in as they are said to be done, the others in the end', async () => {
  const names = new PackedNames();
  const files = new FinishedFiles(folder, names);
  const all = ['7.dat.gz', '8.dat', '9.dat', '10.dat.zst', 'toc.dat'];
  for (const name of all) await write(name);
  const lines = [
    // A part of another process's line came first.
    `pg_dump:${finished(8)}`,
    finished(10),
    finished(7),
    finished(10),
    finished(99),
    'pg_dump: finished item 9 BLOBS BLOBS',
    `pg_dump: dumping contents of table "${finished(9)}"`,
  ];
  for (const line of lines) files.noticed(line);
  expect(await files.rest(never)).toBe(20);
  expect(await told(names)).toEqual(['8.dat', '10.dat.zst', '7.dat.gz', '9.dat', 'toc.dat']);
});

test('one that has grown since is no good; one that only looks younger is', async () => {
  await write('1.dat');
  await write('2.dat');
  const names = new PackedNames();
  const files = new FinishedFiles(folder, names);
  files.noticed(finished(1));
  files.noticed(finished(2));
  await expect.poll(() => names.has('2.dat')).toBe(true);
  // As on a network's volume, which tells the server's time in the end.
  await utimes(join(folder, '1.dat'), 1, 1);
  expect(await files.rest(never)).toBe(8);
  await appendFile(join(folder, '2.dat'), 'more');
  await expect(files.rest(never)).rejects.toMatchObject({
    code: 'backup/dump-failed',
    facts: { file: '2.dat' },
  });
});

test('a folder that can not be looked at fails the dump, and nothing else', async () => {
  const files = new FinishedFiles(join(folder, 'x'.repeat(300)), new PackedNames());
  files.noticed(finished(1));
  await expect(files.rest(never)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
});
