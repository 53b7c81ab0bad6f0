import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { testCompressed } from '../../src/core/archive/compression.ts';
import { canFailReads, FailingFile } from '../support/failing-file.ts';
import { failureOf } from '../support/failure.ts';

const never = new AbortController().signal;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dropback-reads-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe.runIf(canFailReads)('a disk that fails', () => {
  test.each(['gzip', 'zstd'] as const)('is not taken for damage by %s', async (compression) => {
    const path = join(folder, 'archive');
    const content = randomBytes(1_000_000);
    writeFileSync(path, compression === 'gzip' ? gzipSync(content) : zstdCompressSync(content));
    using _failing = new FailingFile(path, 500_000);
    await using file = await open(path);
    const error = await failureOf(testCompressed(file, compression, never));
    expect(error.code).toBe('disk/failing');
  });
});
