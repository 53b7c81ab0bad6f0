import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFile,
  cp,
  mkdtemp,
  readdir,
  readFile,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { directoryCompression } from '../../src/core/engines/postgres/backup/dump-compression.ts';
import { countPacked } from '../../src/core/engines/postgres/backup/packed-count.ts';
import { chooseClient, clientProgram } from '../../src/core/engines/postgres/clients.ts';
import { libpqEnvironment } from '../../src/core/engines/postgres/environment.ts';
import { servers } from '../support/testbed.ts';
import { BackupBed, never } from './postgres-backup-bed.ts';

const run = promisify(execFile);

describe.each(servers)(
  'the tar of a directory of PostgreSQL $major, read where it lies',
  (server) => {
    let bed: BackupBed;
    let dumped: string;
    beforeAll(async () => {
      bed = await BackupBed.create(server);
      await bed.fill('many', 3000);
      await bed.run(
        'CREATE TABLE public.empty (a int)',
        "SELECT lo_from_bytea(0, repeat('x', 99)::bytea) FROM generate_series(1, 3)",
        // pg_dump 18 compresses nothing to a file without a byte, which is no frame.
        'SELECT lo_create(0)',
      );
      dumped = await dump();
    });
    afterAll(() => bed[Symbol.asyncDispose]());

    async function dump(): Promise<string> {
      const client = await chooseClient({ serverMajor: server.major }, never);
      const compression = await directoryCompression(client, 2, never);
      const folder = join(bed.folder, 'd');
      const environment = libpqEnvironment(bed.connection, {
        applicationName: 'test',
        settings: {},
      });
      const args = ['-Fd', `--compress=${compression}`, '-f', folder];
      await run(clientProgram(client, 'pg_dump'), args, {
        env: { ...process.env, ...environment },
      });
      return folder;
    }

    /** A copy of the directory, changed, then packed. */
    async function packed(change: (folder: string) => Promise<unknown> = async () => {}) {
      const work = await mkdtemp(join(tmpdir(), 'dropback-packed-'));
      const folder = join(work, 'd');
      await cp(dumped, folder, { recursive: true });
      await change(folder);
      const tar = join(work, 'd.tar');
      await run('tar', ['-cf', tar, '-C', folder, '.']);
      return countPacked(tar, never).finally(() => rm(work, { recursive: true }));
    }

    /** The largest file is that of the largest table. */
    async function largest(folder: string): Promise<string> {
      const names = (await readdir(folder)).filter((name) => /^\d+\.dat/.test(name));
      const sized = names.map(async (name) => {
        return { name, bytes: (await readFile(join(folder, name))).length };
      });
      const files = (await Promise.all(sized)).toSorted((one, other) => other.bytes - one.bytes);
      return join(folder, files[0]?.name ?? '');
    }

    /** Its rows, changed, compressed as they were. */
    async function rewrite(folder: string, change: (rows: string) => string): Promise<void> {
      const path = await largest(folder);
      const content = await readFile(path);
      const isZstd = path.endsWith('.zst');
      const rows = (isZstd ? zstdDecompressSync(content) : gunzipSync(content)).toString();
      const changed = Buffer.from(change(rows));
      await writeFile(path, isZstd ? zstdCompressSync(changed) : gzipSync(changed));
    }

    test('rows, large objects, and where its table of contents lies', async () => {
      const { tables, largeObjects, toc } = await packed();
      expect(tables).toEqual([
        { schema: 'public', name: 'empty', rows: 0 },
        { schema: 'public', name: 'many', rows: 3000 },
      ]);
      expect(largeObjects).toBe(4);
      expect(toc.end).toBeGreaterThan(toc.start);
    });

    test('a table that takes many reads to be read', async () => {
      const rows = Array.from(
        { length: 3000 },
        (_, n) => `${n}\t${randomBytes(4096).toString('hex')}\n`,
      );
      const written = await packed((folder) =>
        rewrite(folder, (text) => rows.join('') + text.slice(text.lastIndexOf('\\.'))),
      );
      expect(written.contentBytes).toBeGreaterThan(8 * 1024 ** 2);
      expect(written.tables[1]).toEqual({ schema: 'public', name: 'many', rows: 3000 });
    });

    test('a row that is missing is not counted', async () => {
      const { tables } = await packed((folder) =>
        rewrite(folder, (rows) => rows.slice(rows.indexOf('\n') + 1)),
      );
      expect(tables.map(({ rows }) => rows)).toEqual([0, 2999]);
    });

    test('compressed data that end too early, or are missing, are refused', async () => {
      const cut = async (folder: string) => {
        const path = await largest(folder);
        await truncate(path, (await readFile(path)).length - 20);
      };
      await expect(packed(cut)).rejects.toThrow();
      const empty = async (folder: string) => truncate(await largest(folder), 0);
      await expect(packed(empty)).rejects.toThrow();
    });

    test.each([
      ['end with a row', (rows: string) => rows.slice(0, rows.indexOf('\\.'))],
      ['have something behind their end', (rows: string) => `${rows}1\tmore\n`],
      ['have half an end', (rows: string) => rows.slice(0, -1)],
    ] as const)('rows that %s are refused', async (_, change) => {
      await expect(packed((folder) => rewrite(folder, change))).rejects.toThrow(
        /don't end as pg_dump ends them/,
      );
    });

    test('a file that is missing, or that nothing names, is refused', async () => {
      const lose = async (folder: string) => rm(await largest(folder));
      await expect(packed(lose)).rejects.toThrow(/the file \d+\.dat is missing/);
      const more = (folder: string) => appendFile(join(folder, '99999.dat'), 'x');
      await expect(packed(more)).rejects.toThrow('no entry names the file 99999.dat');
    });

    test('a table of contents that ends too early, or is none, is refused', async () => {
      const cut = (folder: string) => truncate(join(folder, 'toc.dat'), 700);
      await expect(packed(cut)).rejects.toThrow();
      const none = (folder: string) => writeFile(join(folder, 'toc.dat'), 'nothing');
      await expect(packed(none)).rejects.toThrow();
    });
  },
);

test('names are told in the encoding of their database', async () => {
  const server = servers.at(-1);
  if (!server) return;
  await using bed = await BackupBed.create(server);
  const name = 'test_latin_packed';
  await bed.admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await bed.admin.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`);
  try {
    await using engine = bed.engineAs({ database: name }, 5000, 2);
    {
      await using latin = await bed.open({ database: name });
      await latin.query('CREATE TABLE public."straße" AS SELECT generate_series(1, 4) AS a');
    }
    const request = bed.request();
    const dump = await engine.dump(request, never);
    const { tables } = await engine.readBack(request.spool, dump, never);
    expect(tables).toEqual([{ schema: 'public', name: 'straße', rows: 4 }]);
  } finally {
    await bed.admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  }
});
