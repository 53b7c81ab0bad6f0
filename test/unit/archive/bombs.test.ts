import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, open, readdir, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  contentLimits,
  decompressionError,
  writeContent,
} from '../../../src/core/archive/compression.ts';
import { decompressor } from '../../../src/core/archive/decompressor.ts';
import { listTar } from '../../../src/core/archive/tar.ts';
import { unpack } from '../../../src/core/archive/unpack.ts';
import { contentOf } from '../../support/content.ts';
import { failureOf } from '../../support/failure.ts';

const signal = new AbortController().signal;
const TEN_GB = 10n * 1024n ** 3n;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dropback-bomb-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const packed = {
  gzip: (bytes: Buffer) => gzipSync(bytes),
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
};

test.for(['gzip', 'zstd'] as const)(
  '%s is stopped one byte past the limit',
  async (compression) => {
    const path = join(folder, 'bomb');
    const content = join(folder, 'content');
    await writeFile(path, packed[compression](Buffer.alloc(20_000_000)));
    await using source = await open(path, 'r');
    const limits = { mostBytes: 1_000_000, because: 'a test' };
    const unpacking = {
      filters: [await decompressor(compression, { source, signal })],
      input: { stdinFd: source.fd },
      explain: (error: unknown) => decompressionError(error, compression),
    };
    await expect(writeContent(unpacking, content, limits, signal)).rejects.toMatchObject({
      code: 'drop/too-large',
    });
    expect((await stat(content)).size).toBe(1_000_001);
  },
);

test('what content may take is bounded by ratio and by free space', async () => {
  const small = await contentLimits(folder, 1000);
  expect(small.mostBytes).toBeLessThanOrEqual(1024 ** 3);
  const huge = await contentLimits(folder, Number.MAX_SAFE_INTEGER / 1000);
  expect(huge.because).toContain('free space');
});

/** One frame that declares 10 GB and holds one empty last block. */
function frameOfTenGigabytes(): Buffer {
  const frame = Buffer.alloc(17);
  frame.writeUInt32LE(0xfd2fb528, 0);
  frame[4] = 0xc0;
  frame[5] = 0x58;
  frame.writeBigUInt64LE(TEN_GB, 6);
  frame[14] = 1;
  return frame;
}

test.for([
  ['zstd', 'app.sql.zst', frameOfTenGigabytes()],
  ['a window of gigabytes', 'app.sql.zst', Buffer.from('28b52ffd00f8010000', 'hex')],
] as const)('a header of %s that declares 10 GB is refused', async ([, fileName, bytes]) => {
  const path = join(folder, 'drop');
  await writeFile(path, bytes);
  const workFolder = join(folder, 'work');
  await mkdir(workFolder);
  const request = { path, fileName, workFolder, sha256: '', force: false };
  await expect(unpack(request, signal)).rejects.toMatchObject({
    code: expect.stringMatching(/^drop\/(corrupt|truncated|empty|unknown-content)$/),
  });
  for (const name of await readdir(workFolder)) {
    expect((await stat(join(workFolder, name))).size).toBe(0);
  }
});

/** An xz file of two bytes that declares a dictionary of 4 GiB. */
const HUGE_DICTIONARY = Buffer.from(
  'fd377a585a0000016922de360200210128000000e6a011b3010001780a0000001f08ea4600011602d06110d29042990d010000000001595a',
  'hex',
);

test.for([
  ['app.sql.gz', (bytes: Buffer) => Buffer.concat([gzipSync(bytes), HUGE_DICTIONARY])],
  ['app.sql.zst', (bytes: Buffer) => Buffer.concat([zstdCompressSync(bytes), HUGE_DICTIONARY])],
] as const)(
  'what another format declares behind the end of %s is not asked for',
  async ([fileName, pack]) => {
    const path = join(folder, 'drop');
    await writeFile(path, pack(Buffer.from('--\n-- PostgreSQL database dump\n--\n')));
    const request = { path, fileName, workFolder: folder, sha256: '', force: false };
    const error = await failureOf(unpack(request, signal).then(contentOf));
    expect(error.code).toMatch(/^drop\/(corrupt|trailing-garbage)$/);
  },
);

test.for([
  ['small', 1000],
  ['large', 17_000_000],
] as const)(
  'zeros behind the end of gzip, as tapes have them, are no damage: %s',
  async ([, size]) => {
    const path = join(folder, 'drop');
    const script = `--\n-- PostgreSQL database dump\n--\n${' '.repeat(size)}`;
    const packed = gzipSync(script, { level: 1 });
    const read = async (content: Buffer) => {
      await writeFile(path, content);
      const request = {
        path,
        fileName: 'app.sql.gz',
        workFolder: folder,
        sha256: '',
        force: false,
      };
      return await contentOf(await unpack(request, signal));
    };
    expect(await read(packed)).toBe(script);
    expect(await read(Buffer.concat([packed, Buffer.alloc(2000)]))).toBe(script);
  },
);

test('a member of a tar that declares 10 GB is refused', async () => {
  const header = Buffer.alloc(512);
  header.write('toc.dat');
  header.write('0000600\0', 100);
  header[124] = 0x80;
  header.writeBigUInt64BE(TEN_GB, 128);
  header.write('        ', 148);
  header[156] = 0x30;
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const path = join(folder, 'app.tar');
  await writeFile(path, Buffer.concat([header, Buffer.alloc(2048)]));
  await expect(listTar(path, signal)).rejects.toMatchObject({ code: 'drop/truncated' });
});
