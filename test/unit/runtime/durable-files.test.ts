import { readdirSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  ensureFolder,
  writeAndSync,
  writeDurably,
} from '../../../src/core/runtime/durable-files.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-durable-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('folders are made with their parents, and keep their mode where they exist', async () => {
  await mkdir(join(folder, 'a'), { mode: 0o755 });
  await ensureFolder(join(folder, 'a', 'b', 'c'));
  await ensureFolder(join(folder, 'a', 'b', 'c'));
  expect((await stat(join(folder, 'a'))).mode & 0o777).toBe(0o755);
  expect((await stat(join(folder, 'a', 'b', 'c'))).mode & 0o777).toBe(0o700);
});

test('several may make the same folder at the same time', async () => {
  for (let round = 0; round < 50; round++) {
    const path = join(folder, String(round), 'a', 'b', 'c');
    await Promise.all(Array.from({ length: 8 }, () => ensureFolder(path)));
  }
});

test('a file in the way, and a file system that makes no folders, are errors', async () => {
  await writeFile(join(folder, 'file'), '');
  await expect(ensureFolder(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(ensureFolder(join(folder, 'file', 'below'))).rejects.toThrow();
  await expect(ensureFolder('/proc/nowhere/below')).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a file is replaced whole, and nothing temporary is left', async () => {
  const path = join(folder, 'state.json');
  await writeDurably(path, 'old');
  await writeDurably(path, 'new');
  expect(await readFile(path, 'utf8')).toBe('new');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await expect(writeAndSync(path, 'other')).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(writeDurably(join(folder, 'missing', 'x'), 'x')).rejects.toThrow();
  expect(await readdir(folder)).toEqual(['state.json']);
});

test('what another process takes for the rest of a killed one is written once more', async () => {
  const path = join(folder, 'note.json');
  const content = 'x'.repeat(8_000_000);
  const swept: string[] = [];
  let isWriting = true;
  const writing = writeDurably(path, content).finally(() => {
    isWriting = false;
  });
  while (isWriting && swept.length === 0) {
    for (const name of readdirSync(folder).filter((one) => one.endsWith('.tmp'))) {
      rmSync(join(folder, name));
      swept.push(name);
    }
    await turn();
  }
  await writing;
  expect(swept).toHaveLength(1);
  expect(await readFile(path, 'utf8')).toBe(content);
  expect(await readdir(folder)).toEqual(['note.json']);
});
