import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgeIdentity } from '../../../src/core/encryption/identity.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import {
  looksTruncated,
  looksTruncatedSoon,
} from '../../../src/restore/drop-folder/completeness.ts';
import { ensureFolders, foldersOf } from '../../../src/restore/drop-folder/folders.ts';
import { listDropFolder, sight } from '../../../src/restore/drop-folder/scan.ts';
import { encrypt, newAgeKey } from '../../support/age.ts';

const root = mkdtempSync(join(tmpdir(), 'dropback-complete-'));
const folders = foldersOf({ watchDir: join(root, 'incoming') });
const signal = new AbortController().signal;
const files = new Map<string, Buffer>();

/** Text that doesn't compress to nothing. */
const rows = Array.from({ length: 4000 }, (_, i) => `INSERT INTO t VALUES('${i * 7919 * i}');`);
const script = `PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(x);\n${rows.join('\n')}\nCOMMIT;\n`;
const pgScript = `--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n${rows.join('\n')}\n--\n-- PostgreSQL database dump complete\n--\n\n`;

beforeAll(async () => {
  await ensureFolders(folders);
  await makeDatabase('sample.db', script);
  const free = 'PRAGMA secure_delete=ON; CREATE TABLE gone AS SELECT * FROM t; DROP TABLE gone';
  await makeDatabase('free.db', `${script}${free}`);
  await writeFile(join(root, 'toc.dat'), script);
  const tar = execFileSync('tar', ['-b2', '-cf', '-', '-C', root, 'toc.dat'], { maxBuffer: 1e9 });
  files.set('app.sql', Buffer.from(script));
  files.set('pg.sql', Buffer.from(pgScript));
  files.set('app.sql.gz', gzipSync(script));
  files.set('app.sql.zst', execFileSync('zstd', ['-q', '-c'], { input: script }));
  files.set('app.tar', tar);
});
async function makeDatabase(name: string, text: string): Promise<void> {
  const path = join(root, name);
  const db = new Database(path);
  db.exec(text);
  db.close();
  files.set(name === 'sample.db' ? 'app.db' : name, await readFile(path));
}
afterAll(() => rmSync(root, { recursive: true }));

async function judged(name: string, identity?: AgeIdentity): Promise<string | undefined> {
  expect(await listDropFolder(folders)).toContain(name);
  const sighting = await sight(folders, name, false);
  if (!sighting) throw new Error('not there');
  return looksTruncated(sighting, signal, { identity });
}

test.for(['app.sql', 'pg.sql', 'app.sql.gz', 'app.sql.zst', 'app.db', 'app.tar'])(
  'a copy of %s is told from the whole at every size, also where its space was reserved',
  async (name) => {
    const path = join(folders.incoming, name);
    const whole = files.get(name) ?? Buffer.alloc(0);
    await writeFile(path, whole);
    expect(await judged(name)).toBeUndefined();
    const wrong: string[] = [];
    for (let part = 0; part < 40; part++) {
      const size = Math.floor((whole.length * part) / 40);
      await writeFile(path, whole.subarray(0, size));
      if ((await judged(name)) === undefined) wrong.push(`cut at ${size}`);
      // All but the last bytes of a tar are there: what is missing are zeros.
      await truncate(path, whole.length);
      const isHole = whole.length - size > (name.endsWith('.tar') ? 70_000 : 9000);
      if (isHole && (await judged(name)) === undefined) wrong.push(`reserved after ${size}`);
    }
    expect(wrong).toEqual([]);
  },
);

test('free pages of zeros at the end of a SQLite file are no hole', async () => {
  const whole = files.get('free.db') ?? Buffer.alloc(0);
  expect(whole.subarray(-4096).every((byte) => byte === 0)).toBe(true);
  await writeFile(join(folders.incoming, 'free.db'), whole);
  expect(await judged('free.db')).toBeUndefined();
});

test('countless empty blocks of zstd do not hold the queue', async () => {
  const path = join(folders.incoming, 'empty.sql.zst');
  const head = execFileSync('zstd', ['-q', '-c'], { input: 'x'.repeat(100) }).subarray(0, 6);
  await writeFile(path, Buffer.concat([head, Buffer.alloc(3_000_000), Buffer.from('end')]));
  const before = await stat(path);
  expect(await judged('empty.sql.zst')).toBeUndefined();
  expect((await stat(path)).mtimeMs).toBe(before.mtimeMs);
});

test.for(['binary', 'armour'])('an encrypted copy is told from the whole (%s)', async (form) => {
  const key = newAgeKey();
  const name = 'app.sql.gz.age';
  const path = join(folders.incoming, name);
  // Three chunks, the last of them not full.
  const content = randomBytes(150_000);
  const whole = encrypt(content, [key.recipient], ...(form === 'armour' ? ['-a'] : []));
  await writeFile(path, whole);
  expect(await judged(name, key.identity)).toBeUndefined();
  // Nobody can tell of all of them, and nobody waits for ever: the claim refuses it.
  expect(await judged(name)).toBeUndefined();
  const wrong: number[] = [];
  const sizes = Array.from({ length: 12 }, (_, i) => Math.floor((whole.length * i) / 12));
  const atBorders = [20, 150, 210, 230, 216 + 65_552, 216 + 2 * 65_552, whole.length - 2];
  for (const size of [...sizes, ...atBorders]) {
    await writeFile(path, whole.subarray(0, size));
    if ((await judged(name, key.identity)) === undefined) wrong.push(size);
    const hole = Buffer.concat([whole.subarray(0, size), Buffer.alloc(whole.length - size)]);
    await writeFile(path, hole);
    if (whole.length - size > 5000 && (await judged(name, key.identity)) === undefined) {
      wrong.push(-size);
    }
  }
  expect(wrong).toEqual([]);
  const changed = Buffer.from(whole);
  changed[1000] = (changed[1000] ?? 0) ^ 1;
  await writeFile(path, changed);
  if (form === 'binary') expect(await judged(name, key.identity)).toBeUndefined();
  expect(await judged(name, newAgeKey().identity)).toBeUndefined();
});

test('a file that takes too long to look through counts as whole: it holds nobody up', async () => {
  const name = 'late.sql.gz';
  const bytes = gzipSync(randomBytes(30_000_000), { level: 1 });
  await writeFile(join(folders.incoming, name), bytes.subarray(0, -1000));
  const sighting = await sight(folders, name, false);
  if (!sighting) throw new Error('not there');
  expect(await looksTruncatedSoon(sighting, systemClock, signal)).toBeDefined();
  const late = { ...systemClock, sleep: async () => {} };
  expect(await looksTruncatedSoon(sighting, late, signal)).toBeUndefined();
  const ended = AbortSignal.abort();
  await expect(looksTruncatedSoon(sighting, systemClock, ended)).rejects.toMatchObject({
    code: 'run/aborted',
  });
});
