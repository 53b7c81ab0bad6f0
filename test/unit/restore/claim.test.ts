import { mkdtempSync, rmSync, statSync } from 'node:fs';
import {
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noCheckpoint } from '../../../src/restore/checkpoint.ts';
import { claimFile, recheckClaimed } from '../../../src/restore/drop-folder/claim.ts';
import { foldersOf } from '../../../src/restore/drop-folder/folders.ts';
import { listDropFolder, signatureOf } from '../../../src/restore/drop-folder/scan.ts';

let work: string;
let far: string;
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'dropback-claim-'));
  far = mkdtempSync(join(hasOtherMount ? '/dev/shm' : tmpdir(), 'dropback-claim-'));
});
afterEach(() => {
  for (const folder of [work, far]) rmSync(folder, { recursive: true, force: true });
});
const signal = new AbortController().signal;

function deviceOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.dev;
}
const hasOtherMount =
  deviceOf('/dev/shm') !== undefined && deviceOf('/dev/shm') !== deviceOf(tmpdir());

async function dropped(folder: string, text = 'content') {
  const path = join(folder, 'app.sql');
  await writeFile(path, text);
  const signature = signatureOf(await lstat(path, { bigint: true }));
  return { source: Buffer.from(path), signature, workFolder: work, checkpoint: noCheckpoint };
}

test('the file is moved, private, and described', async () => {
  const request = await dropped(far);
  const claimed = await claimFile(request, signal);
  expect(await readFile(claimed.path, 'utf8')).toBe('content');
  expect(claimed).toMatchObject({
    bytes: 7,
    sha256: 'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73',
  });
  expect((await lstat(claimed.path)).mode & 0o777).toBe(0o600);
  expect(await readdir(far)).toEqual([]);
  await recheckClaimed(claimed.path, claimed, signal);
});

test.runIf(hasOtherMount)(
  'a copy from another mount leaves one whole file at every instant',
  async () => {
    const request = await dropped(far, 'x'.repeat(300_000));
    const steps = ['before rename of the copy', 'before unlink of the original'];
    for (const step of steps) {
      const checkpoint = (name: string) => {
        if (name === step) throw new Error('the end');
      };
      await expect(claimFile({ ...request, checkpoint }, signal)).rejects.toThrow('the end');
      expect(await readdir(far)).toEqual(['app.sql']);
    }
    const claimed = await claimFile(request, signal);
    expect(claimed.bytes).toBe(300_000);
    expect(await readdir(far)).toEqual([]);
    expect(await readdir(work)).toEqual(['drop']);
  },
);

test('a file that changed since it was seen is not claimed', async () => {
  const request = await dropped(far);
  await writeFile(join(far, 'app.sql'), 'another content');
  await expect(claimFile(request, signal)).rejects.toMatchObject({
    code: 'drop/changed',
    retryable: true,
  });
  expect(await readdir(far)).toEqual(['app.sql']);
});

test('a file that is written after the claim is found out, also with its time put back', async () => {
  const claimed = await claimFile(await dropped(far), signal);
  const { atime, mtime } = await lstat(claimed.path);
  await writeFile(claimed.path, 'CONTENT');
  await utimes(claimed.path, atime, mtime);
  await expect(recheckClaimed(claimed.path, claimed, signal)).rejects.toMatchObject({
    code: 'drop/changed-after-claim',
  });
});

describe('check/, of which a link is made during the claim', () => {
  test('nothing is moved out of the folder that it leads to', async () => {
    const check = join(far, 'check');
    const elsewhere = join(far, 'elsewhere');
    await mkdir(check);
    await mkdir(elsewhere);
    const request = await dropped(check, 'the drop');
    await writeFile(join(elsewhere, 'app.sql'), 'precious');
    const checkpoint = async (name: string) => {
      if (name !== 'before move into work') return;
      await rename(check, join(far, 'moved'));
      await symlink(elsewhere, check);
    };
    const claimed = await claimFile({ ...request, checkpoint }, signal);
    expect(await readFile(claimed.path, 'utf8')).toBe('the drop');
    expect(await readFile(join(elsewhere, 'app.sql'), 'utf8')).toBe('precious');
  });

  test('a link from the beginning leads nowhere', async () => {
    const elsewhere = join(far, 'elsewhere');
    await mkdir(elsewhere);
    const request = await dropped(elsewhere, 'precious');
    await symlink(elsewhere, join(far, 'check'));
    const source = Buffer.from(join(far, 'check', 'app.sql'));
    await expect(claimFile({ ...request, source }, signal)).rejects.toMatchObject({
      code: 'drop/changed',
    });
    expect(await listDropFolder(foldersOf({ watchDir: far }))).toEqual(['elsewhere']);
    expect(await readdir(elsewhere)).toEqual(['app.sql']);
  });
});
