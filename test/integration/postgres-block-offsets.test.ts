import { execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { NotUnderstood } from '../../src/core/archive/archive-cursor.ts';
import { setBlockOffsets } from '../../src/core/engines/postgres/restore/block-offsets.ts';
import { ScratchDatabase } from '../support/scratch-database.ts';
import { servers } from '../support/testbed.ts';

const run = promisify(execFile);

describe.each(servers)('where the data of an archive of PostgreSQL $major are', (server) => {
  test('is written as pg_dump itself writes it into a file', async () => {
    await using scratch = await ScratchDatabase.create(server, 'test_offsets');
    await scratch.sql(
      "CREATE TABLE a AS SELECT i, repeat('x', i % 900) AS t FROM generate_series(1, 9000) AS i",
      'CREATE TABLE nothing (i int)',
      'CREATE SEQUENCE s',
      "CREATE TABLE b AS SELECT repeat('y', 3000000) AS t FROM generate_series(1, 2) AS i",
      "SELECT lo_from_bytea(0, '\\x0102'), lo_from_bytea(0, '\\x03')",
    );
    const folder = await mkdtemp(join(tmpdir(), 'dropback-offsets-'));
    try {
      const environment = { env: { ...process.env, PGPASSWORD: server.password } };
      const pgDump = join(server.binDir, 'pg_dump');
      const args = ['-Fc', '--compress=0', '-d', scratch.url];
      const [piped, filed] = [join(folder, 'piped'), join(folder, 'filed')];
      await run(pgDump, [...args, '-f', filed], environment);
      const child = spawn(pgDump, args, { ...environment, stdio: ['ignore', 'pipe', 'inherit'] });
      await pipeline(child.stdout, createWriteStream(piped));
      const before = await readFile(piped);
      await using file = await open(piped, 'r+');
      expect(setBlockOffsets(file.fd)).toBeGreaterThanOrEqual(3);
      const after = await readFile(piped);
      const expected = await readFile(filed);
      // The header says when the dump was made, and each dump has a key of its own.
      const differing = (one: Buffer, other: Buffer) => {
        expect(one).toHaveLength(other.length);
        return [...one.keys()].filter((at) => one[at] !== other[at]);
      };
      expect(differing(before, after).length).toBeGreaterThan(0);
      expect(differing(after, expected).filter((at) => at > 100)).toEqual([]);
      // Once they are there, nothing is left to be set.
      expect(setBlockOffsets(file.fd)).toBe(0);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

test('what is cut or no archive is left as it is', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dropback-offsets-'));
  try {
    for (const content of ['PGDMP\x01\x10\x00\x04\x08\x01', 'PGDMP', 'no archive at all', '']) {
      const path = join(folder, 'archive');
      await writeFile(path, content, 'latin1');
      await using file = await open(path, 'r+');
      expect(() => setBlockOffsets(file.fd)).toThrow(NotUnderstood);
      expect(await readFile(path, 'latin1')).toBe(content);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
