import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { directoryCompression } from '../../../src/core/engines/postgres/backup/dump-compression.ts';
import type { PostgresClient } from '../../../src/core/engines/postgres/clients.ts';

const never = new AbortController().signal;

/** A pg_dump that says one thing and fails, as the real one does without a server. */
async function compressionOf(major: number, says: string, level: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
  try {
    const file = join(folder, 'pg_dump');
    const script = `#!/bin/sh\necho 'pg_dump: error: ${says}' >&2\nexit 1\n`;
    await writeFile(file, script, { mode: 0o700 });
    const version = `${major}.1`;
    const client: PostgresClient = { major, version, folder, programs: { pg_dump: file } };
    return await directoryCompression(client, level, never);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('compression of a directory', () => {
  test.each([
    [18, 'could not open directory "/dev/null/dropback": Not a directory', 3, 'zstd:3'],
    [17, 'could not create directory "/dev/null/dropback": Not a directory', 19, 'zstd:19'],
    [
      16,
      'invalid compression specification: this build does not support compression with ZSTD',
      3,
      'gzip:3',
    ],
    [18, 'something that nobody expected', 19, 'gzip:9'],
    [15, 'invalid value "zstd:3" for option -Z/--compress', 3, '3'],
  ])('pg_dump %i that says "%s", level %i: %s', async (major, says, level, expected) => {
    expect(await compressionOf(major, says, level)).toBe(expected);
  });
});
