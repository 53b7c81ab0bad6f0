import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, open, readdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { zstdEndsEarly } from '../../../src/core/archive/compression-end.ts';
import { promisedBy, recognise } from '../../../src/core/archive/detect.ts';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { listTar } from '../../../src/core/archive/tar.ts';
import { unpack } from '../../../src/core/archive/unpack.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dropback-archive-'));
});
afterEach(() => rmSync(folder, { recursive: true }));
const signal = new AbortController().signal;

test.for([
  ['app.sql', 'sql', 'none'],
  ['app.SQL.GZ', 'sql', 'gzip'],
  ['app.dump.zst', 'dump', 'zstd'],
  ['app.force.sqlite3', 'db', 'none'],
  ['app.tar.gz', 'tar', 'gzip'],
  ['app.dump.zst.age', 'dump', 'zstd'],
] as const)('%s promises %s, %s', ([name, content, compression]) => {
  expect(promisedBy(name)).toMatchObject({ content, compression });
});

test.for(['app', 'app.txt', 'app.gz', 'app.sql.bz2', 'app.age', 'app.sql.age.gz', '.sqlx'])(
  '%s is no dump’s name',
  (name) => {
    expect(promisedBy(name)).toBeUndefined();
  },
);

test.for([
  ['PGDMP\u0001\u0010\u0000\u0004\u0008\u0001', 'postgres-custom'],
  ['SQLite format 3\0 ', 'sqlite-file'],
  ['--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n', 'postgres-plain'],
  ['--\r\n-- PostgreSQL database dump\r\n--\r\n', 'postgres-plain'],
  ['PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n', 'sqlite-plain'],
] as const)('%j is recognised as %s', ([head, format]) => {
  expect(recognise(Buffer.from(head, 'latin1'))).toMatchObject({ kind: 'archive', format });
});

test('a cluster dump with Windows line ends', () => {
  const head = Buffer.from('--\r\n-- PostgreSQL database cluster dump\r\n--\r\n');
  expect(recognise(head)).toMatchObject({ code: 'drop/unsupported-dumpall' });
});

test('zstd: every cut is found, whatever the frames', async () => {
  const noise = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * at * 31) % 251));
  const path = join(folder, 'x.zst');
  const frames = [
    execFileSync('zstd', ['-q', '-c'], { input: noise }),
    execFileSync('zstd', ['-q', '-c', '--no-check'], { input: Buffer.alloc(500_000) }),
    execFileSync('zstd', ['-q', '-c', '-T2', '-19'], { input: Buffer.from('short') }),
  ];
  const whole = Buffer.concat(frames);
  const endsEarly = async () => {
    await using file = await open(path, 'r');
    return await zstdEndsEarly(file, signal);
  };
  await writeFile(path, whole);
  expect(await endsEarly()).toBe(false);
  const ends = new Set([frames[0]?.length, (frames[0]?.length ?? 0) + (frames[1]?.length ?? 0)]);
  for (let size = whole.length - 1; size > 0; size -= Math.max(1, Math.floor(size / 60))) {
    await truncate(path, size);
    expect({ size, early: await endsEarly() }).toEqual({ size, early: !ends.has(size) });
  }
});

async function dumpFolder(): Promise<string> {
  const path = join(folder, 'app');
  await mkdir(path);
  await writeFile(join(path, 'toc.dat'), 'PGDMP toc');
  await writeFile(join(path, '3456.dat.gz'), 'data');
  await writeFile(join(path, 'blobs_12.toc'), 'x');
  return path;
}

function tar(...args: string[]): string {
  const path = join(folder, 'app.tar');
  execFileSync('tar', ['-cf', path, '-C', folder, ...args]);
  return path;
}

test.for([['app'], ['--format=pax', 'app'], ['-C', 'app', '.'], ['--format=ustar', './app']])(
  'a tar made with %j is unpacked',
  async (args) => {
    await dumpFolder();
    const path = tar(...args);
    const workFolder = join(folder, 'work');
    await mkdir(workFolder);
    const request = { path, fileName: 'app.tar', workFolder, sha256: '', force: false };
    const drop = await unpack(request, signal);
    expect(drop).toMatchObject({ format: 'postgres-directory', contentBytes: 14 });
    expect((await readdir(drop.path)).toSorted()).toEqual([
      '3456.dat.gz',
      'blobs_12.toc',
      'toc.dat',
    ]);
    expect(await readFile(join(drop.path, 'toc.dat'), 'utf8')).toBe('PGDMP toc');
    // Once more, as after a crash.
    expect((await unpack(request, signal)).path).toBe(drop.path);
  },
);

test('a tar that is trusted for its checksum is hashed as it is extracted', async () => {
  await dumpFolder();
  const path = tar('app');
  const sha256 = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  const workFolder = join(folder, 'work');
  await mkdir(workFolder);
  const manifest = {} as Manifest;
  const request = { path, fileName: 'app.tar', workFolder, sha256, manifest, force: false };
  const drop = await unpack({ ...request, mayChange: true }, signal);
  expect(await readFile(join(drop.path, 'toc.dat'), 'utf8')).toBe('PGDMP toc');
  expect(await readdir(workFolder)).toEqual(['directory']);
  // A member of the same length: neither listing nor sizes tell.
  const changed = await readFile(path);
  changed.write('DATA', changed.indexOf('data\0'));
  await writeFile(path, changed);
  await expect(unpack({ ...request, mayChange: true }, signal)).rejects.toMatchObject({
    code: 'drop/changed-after-claim',
  });
  expect(await readdir(workFolder)).toEqual([]);
});

const spoiled: [string, string, (path: string) => unknown][] = [
  [
    'a symbolic link',
    'drop/unsafe-tar',
    (path: string) => symlink('/etc/passwd', join(path, '1.dat')),
  ],
  ['another file', 'drop/unsafe-tar', (path: string) => writeFile(join(path, 'x.sh'), '')],
  [
    'a FIFO',
    'drop/unsafe-tar',
    (path: string) => void execFileSync('mkfifo', [join(path, '1.dat')]),
  ],
  ['a folder in it', 'drop/unsafe-tar', (path: string) => mkdir(join(path, 'deep'))],
  ['no toc', 'drop/not-a-dump-directory', (path: string) => rmSync(join(path, 'toc.dat'))],
];

test.for(spoiled)('a tar with %s is refused', async ([, code, spoil]) => {
  await spoil(await dumpFolder());
  await expect(listTar(tar('app'), signal)).rejects.toMatchObject({ code });
});

test.for(['--transform=s,app,..,', '--transform=s,^app,/app,', '--transform=s,app,a/b,'])(
  'a tar with names changed by %s is refused',
  async (transform) => {
    await dumpFolder();
    const path = tar('-P', transform, 'app');
    await expect(listTar(path, signal)).rejects.toMatchObject({ code: 'drop/unsafe-tar' });
  },
);

test('a tar that is cut or damaged', async () => {
  await dumpFolder();
  const path = tar('app');
  const whole = await readFile(path);
  whole[10] = 65;
  await writeFile(path, whole);
  await expect(listTar(path, signal)).rejects.toMatchObject({ code: 'drop/corrupt' });
  tar('app');
  await truncate(path, 1400);
  await expect(listTar(path, signal)).rejects.toMatchObject({ code: 'drop/truncated' });
});
