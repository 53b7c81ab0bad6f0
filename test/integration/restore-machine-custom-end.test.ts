import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { customArchiveEndsEarly } from '../../src/restore/drop-folder/custom-archive-end.ts';
import { servers } from '../support/testbed.ts';

const signal = new AbortController().signal;
const SCHEMA = `
  CREATE TABLE a(id int primary key, t text);
  INSERT INTO a SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 3000) i;
  CREATE TABLE empty(x int);
  CREATE VIEW v AS SELECT * FROM a;
  SELECT lo_from_bytea(0, repeat('x', 5000)::bytea);
  COMMENT ON TABLE a IS 'first';`;

test.for(
  servers.flatMap((server) =>
    ['pipe', 'file', 'uncompressed'].map((how) => ({ server, version: server.version, how })),
  ),
)('every cut of a custom archive is found: $version, $how', async ({ server, how }) => {
  const folder = mkdtempSync(join(tmpdir(), 'dropback-custom-'));
  const path = join(folder, 'app.dump');
  const name = `custom_end_${process.pid}_${how}`;
  const run = (program: string, ...args: string[]) =>
    execFileSync(join(server.binDir, program), args, { maxBuffer: 1e9 });
  const url = new URL(server.url);
  try {
    run('psql', '-q', '-c', `CREATE DATABASE ${name}`, server.url);
    url.pathname = `/${name}`;
    run('psql', '-q', '-c', SCHEMA, url.href);
    const flags = how === 'uncompressed' ? ['-Z', '0'] : [];
    if (how === 'pipe') await writeFile(path, run('pg_dump', '-Fc', ...flags, url.href));
    else run('pg_dump', '-Fc', ...flags, '-f', path, url.href);
    const endsEarly = async () => {
      await using file = await open(path, 'r');
      return await customArchiveEndsEarly(file, signal);
    };
    expect(await endsEarly()).toBe(false);
    for (let size = readFileSync(path).length - 1; size > 32; size -= 1 + Math.floor(size / 70)) {
      await truncate(path, size);
      expect({ size, early: await endsEarly() }).toEqual({ size, early: true });
    }
  } finally {
    run('psql', '-q', '-c', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, server.url);
    rmSync(folder, { recursive: true });
  }
});
