import { execFileSync, spawnSync } from 'node:child_process';
import { link, mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync, gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encrypt, newAgeKey } from '../support/age.ts';
import { script, World } from '../support/restore/world.ts';

let world: World;
const key = newAgeKey();
const other = newAgeKey();
const touched: string[] = [];

beforeEach(async () => {
  touched.length = 0;
  world = await World.create({
    config: { settleMs: 1500, ageIdentity: key.identity },
    containerFault: (call) => {
      if (!call.startsWith('inspect')) touched.push(call);
    },
  });
  world.start();
  await world.until(() => world.daemon.status().state === 'idle');
});
afterEach(() => world.remove());

/** Refused, before any container is stopped, and the daemon goes on. */
async function expectRefused(name: string, code: string, text = ''): Promise<void> {
  const report = await world.report(name);
  expect({ folder: report.folder, outcome: report.outcome, code: report.error?.code }).toEqual({
    folder: 'failed',
    outcome: 'refused',
    code,
  });
  expect(report.error?.message).toContain(text);
  expect(report.error?.hint).not.toBe('');
  expect(touched).toEqual([]);
  expect(await world.liveText()).toBe(script('old'));
  expect(await readdir(join(world.root, 'data'))).toEqual(['app.db']);
  expect(await readdir(world.path('failed'))).toContain(name);
  await world.until(() => world.daemon.status().state === 'idle');
}

const pgDump = '--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n';
const good = script('fresh');
const damaged = (bytes: Buffer) => {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 0xff;
  return copy;
};

const contents: [name: string, content: string | Buffer, code: string, text?: string][] = [
  ['empty.sql', '', 'drop/empty'],
  ['empty.sql.gz', gzipSync(''), 'drop/empty'],
  ['cut.sql', good.slice(0, -9), 'drop/truncated'],
  ['cut.sql.gz', gzipSync(good.repeat(50)).subarray(0, 90), 'drop/truncated'],
  ['damaged.sql.gz', damaged(gzipSync(good.repeat(50))), 'drop/corrupt'],
  [
    'garbage.sql.gz',
    Buffer.concat([gzipSync(good), Buffer.from('hello')]),
    'drop/trailing-garbage',
  ],
  ['theirs.sql.age', encrypt(good, [other.recipient]), 'drop/wrong-identity', 'recipients'],
  ['hollow.sql.age', encrypt('', [key.recipient]), 'drop/empty'],
  ['damaged.sql.age', damaged(encrypt(good.repeat(9000), [key.recipient])), 'drop/corrupt'],
  ['cut.sql.age', encrypt(good.repeat(50), [key.recipient]).subarray(0, -9), 'drop/corrupt'],
  ['named.sql.gz.age', encrypt(good, [key.recipient]), 'drop/wrong-extension', '.sql.gz.age'],
  ['plain.sql.gz', good, 'drop/wrong-extension', '.sql.gz'],
  ['packed.sql', gzipSync(good), 'drop/wrong-extension', 'gzip'],
  ['twice.sql.gz', gzipSync(gzipSync(good)), 'drop/wrong-extension', 'gzip'],
  ['script.db', good, 'drop/wrong-extension', 'sqlite3 .dump'],
  ['other.sql', `${pgDump}--\n-- PostgreSQL database dump complete\n--\n`, 'drop/wrong-engine'],
  ['all.sql', '--\n-- PostgreSQL database cluster dump\n--\n', 'drop/unsupported-dumpall'],
  ['mysql.sql', '-- MySQL dump 10.13\nSELECT 1;\n', 'drop/wrong-engine', 'MySQL'],
  ['wide.sql', Buffer.from(`\uFEFF${good}`, 'utf16le'), 'drop/unsupported-encoding'],
  ['wide-unmarked.sql', Buffer.from(good, 'utf16le'), 'drop/unsupported-encoding'],
  ['xz.sql', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2]), 'drop/unsupported-format'],
  ['noise.dump', Buffer.from('hello, this is a letter'), 'drop/unknown-content'],
  ['zeros.db', Buffer.alloc(8192), 'drop/unknown-content'],
  ['raw.sql.gz', deflateRawSync(good), 'drop/wrong-extension'],
];

test.for(contents)('%s is refused', async ([name, content, code, text]) => {
  await world.drop(name, content);
  await expectRefused(name, code, text);
});

test('truncated zstd', async () => {
  const packed = execFileSync('zstd', ['-q', '-c'], { input: good.repeat(500) });
  await world.drop('cut.sql.zst', packed.subarray(0, packed.length - 5));
  await expectRefused('cut.sql.zst', 'drop/truncated');
});

test('a symbolic link is moved aside, and what it points to is left alone', async () => {
  const secret = join(world.root, 'secret.sql');
  await writeFile(secret, script('secret'));
  await symlink(secret, join(world.incoming, 'link.sql'));
  await expectRefused('link.sql', 'drop/not-a-file', 'symbolic link');
  expect(await readFile(secret, 'utf8')).toBe(script('secret'));
});

test('a hard link', async () => {
  const other = join(world.root, 'other.sql');
  await writeFile(other, script('other'));
  await link(other, join(world.incoming, 'hard.sql'));
  await expectRefused('hard.sql', 'drop/hard-link');
});

test.each([
  ['its -wal', '-wal', 'frames'],
  ['a journal that is still to be rolled back', '-journal', '\xd9\xd5\x05\xf9\x20\xa1\x63\xd7'],
])('a SQLite file that was dropped with %s', async (_, suffix, content) => {
  const made = join(world.root, 'made.db');
  const database = new Database(made);
  database.exec('CREATE TABLE t (i)');
  database.close();
  await writeFile(join(world.incoming, `app.db${suffix}`), content, 'latin1');
  await rename(made, join(world.incoming, 'app.db'));
  await expectRefused('app.db', 'drop/with-log', suffix);
  if (suffix === '-wal') return;
  // A journal that is done with says nothing: it is for the engine to judge the file.
  await writeFile(join(world.incoming, 'done.db-journal'), Buffer.alloc(512));
  await rename(world.path('failed', 'app.db'), join(world.incoming, 'done.db'));
  expect((await world.report('done.db')).error?.code).not.toBe('drop/with-log');
});

test('a folder', async () => {
  await mkdir(join(world.incoming, 'folder.dump'));
  await expectRefused('folder.dump', 'drop/not-a-file', 'folder');
});

test('a FIFO', async () => {
  execFileSync('mkfifo', [join(world.incoming, 'pipe.sql')]);
  await expectRefused('pipe.sql', 'drop/not-a-file', 'FIFO');
});

test('a socket', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(world.incoming, 'socket.sql'), resolve));
  await expectRefused('socket.sql', 'drop/not-a-file', 'a socket');
  await new Promise((resolve) => server.close(resolve));
});

test.runIf(canMakeDevices())('a device, which is never opened', async () => {
  // Reading the terminal's or a disk's would do something; this one would never end.
  execFileSync('mknod', [join(world.incoming, 'zero.dump'), 'c', '1', '5']);
  await expectRefused('zero.dump', 'drop/not-a-file', 'a device');
});

test('files that are no dumps, and transfers in progress, are left alone', async () => {
  for (const name of ['README', 'notes.txt', '.app.sql.Xy12Zz', 'app.sql.part', 'app.sql~']) {
    await world.drop(name, good);
  }
  await world.drop('real.sql', good);
  expect(await world.report('real.sql')).toMatchObject({ outcome: 'restored' });
  expect(await readdir(world.incoming)).toHaveLength(6);
});

test('hostile names are filed under harmless ones', async () => {
  const raw = Buffer.concat([
    Buffer.from(`${world.incoming}/-rf "$(x)"\n\u001b[31m\u202e`),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('.sql'),
  ]);
  await writeFile(raw, good);
  await world.until(async () => (await readdir(world.path('done'))).length === 2);
  const [name = ''] = (await readdir(world.path('done'))).toSorted((a, b) => a.length - b.length);
  expect(name).toMatch(/^_rf _[\w()[\]]+\.sql$/);
  expect(await world.liveText()).toBe(good);
});

test('a name of 255 bytes', async () => {
  const name = `${'n'.repeat(251)}.sql`;
  await writeFile(join(world.incoming, name), good);
  await world.until(async () => (await readdir(world.path('done'))).length === 2);
  const names = await readdir(world.path('done'));
  expect(names.every((found) => found.startsWith('nnnn') && found.includes('.sql'))).toBe(true);
});

test('plain, .gz of several members and .zst all restore', async () => {
  const [first, second] = [good.slice(0, 40), good.slice(40)];
  await world.drop('members.sql.gz', Buffer.concat([gzipSync(first), gzipSync(second)]));
  expect(await world.report('members.sql.gz')).toMatchObject({ outcome: 'restored' });
  expect(await world.liveText()).toBe(good);
  await world.drop('app.sql.zst', execFileSync('zstd', ['-q', '-c'], { input: script('zst') }));
  expect(await world.report('app.sql.zst')).toMatchObject({ outcome: 'restored' });
  expect(await world.liveText()).toBe(script('zst'));
});

test('the same name twice does not overwrite the first report', async () => {
  await world.drop('app.sql', good);
  await world.report('app.sql');
  await world.drop('app.sql', script('again'));
  await world.until(async () => (await readdir(world.path('done'))).length === 4);
  expect(await readFile(world.path('done', 'app.sql'), 'utf8')).toBe(good);
});

function canMakeDevices(): boolean {
  const path = join(tmpdir(), `dropback-device-${process.pid}`);
  const { status } = spawnSync('mknod', [path, 'c', '1', '5']);
  spawnSync('rm', ['-f', path]);
  return status === 0;
}
