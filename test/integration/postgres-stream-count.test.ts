import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCustomHead } from '../../src/core/archive/custom-archive.ts';
import { StreamCounter } from '../../src/core/engines/postgres/backup/stream-count.ts';
import { chooseClient, clientProgram } from '../../src/core/engines/postgres/clients.ts';
import { libpqEnvironment } from '../../src/core/engines/postgres/environment.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never } from './postgres-backup-bed.ts';

const run = promisify(execFile);

describe.each(servers)('a stream of PostgreSQL $major, counted on its way', (server) => {
  let bed: BackupBed;
  let archive: Buffer;
  let headBytes: number;
  beforeAll(async () => {
    bed = await BackupBed.create(server);
    await bed.run(
      'CREATE TABLE public.many (id int, said text)',
      // The end marker and newlines as values, and rows longer than any chunk.
      `INSERT INTO public.many SELECT n, CASE n % 4 WHEN 0 THEN E'\\\\.' WHEN 1 THEN E'a\\nb'
         WHEN 2 THEN repeat('x', 5000) END FROM generate_series(1, 200) AS n`,
      'CREATE TABLE public."Ünïcode.s" (a int)',
      'INSERT INTO public."Ünïcode.s" VALUES (1), (2)',
      'CREATE TABLE public.empty (a int)',
      'CREATE TABLE public.columnless ()',
      'INSERT INTO public.columnless DEFAULT VALUES',
      "SELECT lo_from_bytea(0, repeat('x', 3000)::bytea) FROM generate_series(1, 3)",
      'SELECT lo_create(0)',
    );
    archive = await dump('--compress=0');
    headBytes = readCustomHead(archive).bytes;
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  async function dump(...args: string[]): Promise<Buffer> {
    const client = await chooseClient({ serverMajor: server.major }, never);
    const file = join(bed.folder, 'custom.dump');
    const environment = libpqEnvironment(bed.connection, {
      applicationName: 'test',
      settings: {},
    });
    // Into a pipe, as a backup writes it: without places of the data.
    const command = `exec "$0" -Fc "$@" | cat > '${file}'`;
    await run('sh', ['-c', command, clientProgram(client, 'pg_dump'), ...args], {
      env: { ...process.env, ...environment },
    });
    try {
      return await readFile(file);
    } finally {
      await rm(file);
    }
  }

  function count(bytes: Buffer, chunkBytes = 65536) {
    const heads: Buffer[] = [];
    const counter = new StreamCounter((head) => heads.push(Buffer.from(head)));
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      // A reader's buffer is used again and again.
      const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
      counter.push(chunk);
      chunk.fill(0);
    }
    return { ...counter.end(), contentBytes: counter.contentBytes, heads };
  }

  test.each([1, 7, 4096, 1024 * 1024])('in pieces of %i bytes', (chunkBytes) => {
    const { tables, largeObjects, contentBytes, heads } = count(archive, chunkBytes);
    expect(tables.toSorted((one, other) => (one.name < other.name ? -1 : 1))).toEqual([
      { schema: 'public', name: 'columnless', rows: 1 },
      { schema: 'public', name: 'empty', rows: 0 },
      { schema: 'public', name: 'many', rows: 200 },
      { schema: 'public', name: 'Ünïcode.s', rows: 2 },
    ]);
    expect(largeObjects).toBe(4);
    expect(contentBytes).toBe(archive.length);
    expect(heads).toEqual([archive.subarray(0, headBytes)]);
  });

  test('whose table of contents is larger than what is looked at first', async () => {
    const comments = Array.from(
      { length: 12 },
      (_, n) => `COMMENT ON TABLE public.many IS '${'c'.repeat(60_000 + n)}'`,
    );
    await bed.run(
      ...comments.map(
        (comment, n) =>
          `CREATE TABLE public.t${n} (a int); ${comment.replace('public.many', `public.t${n}`)}`,
      ),
    );
    const large = await dump('--compress=0');
    expect(readCustomHead(large).bytes).toBeGreaterThan(600_000);
    expect(count(large).tables).toHaveLength(16);
  });

  test('cut anywhere, or with something behind its end, it is not read', () => {
    const step = Math.max(1, Math.floor((archive.length - headBytes) / 400));
    for (let end = headBytes - 20; end < archive.length; end += step) {
      expect(() => count(archive.subarray(0, end)), `cut at ${end}`).toThrow();
    }
    expect(() => count(Buffer.alloc(0))).toThrow();
    expect(() => count(Buffer.concat([archive, Buffer.from([1])]))).toThrow();
    const again = archive.subarray(headBytes);
    expect(() => count(Buffer.concat([archive, again]))).toThrow(/no entry names/);
  });

  test('whose data are compressed, or no archive at all, it is not read', async () => {
    const compressed = await dump('--compress=6');
    expect(() => count(compressed)).toThrow(/don't end as pg_dump ends them/);
    expect(() => count(Buffer.from('PGDMP'.padEnd(500_000, 'x')))).toThrow();
    expect(() => count(Buffer.alloc(1_000_000, 'SELECT 1;\n'))).toThrow(/not laid out/);
  });
});
