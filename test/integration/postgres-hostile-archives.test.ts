import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type HostileEntry, writeHostileArchive } from '../support/hostile-archive.ts';
import { testbed } from '../support/testbed.ts';

const run = promisify(execFile);
vi.setConfig({ testTimeout: 240_000 });

const reader = new URL('../support/restore/read-archive.ts', import.meta.url).pathname;
/** Megabytes: a fraction of what a daemon in its container has. */
const HEAP = 64;
const MEGABYTE = 1024 * 1024;

describe.runIf(testbed.postgres15 || testbed.postgres18)('archives made to take memory', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropback-archives-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** In a process whose heap is small: one that holds what the file says doesn't end. */
  async function read(
    what: 'inspect' | 'owners',
    entries: Iterable<HostileEntry>,
    count?: number,
  ): Promise<Record<string, unknown>> {
    const path = join(folder, 'hostile.dump');
    writeHostileArchive(path, entries, count);
    const args = [`--max-old-space-size=${HEAP}`, reader, what, path];
    const { stdout } = await run(process.execPath, args);
    expect(await readdir(folder), 'nothing is left').toEqual([basename(path)]);
    return JSON.parse(stdout);
  }

  test('hundreds of thousands of entries are read in little memory', async () => {
    const entries = function* () {
      yield { type: 'TABLE', tag: 't', definition: 'CREATE TABLE public.t (i integer);\n' };
      for (let n = 0; n < 300_000; n++) yield { definition: 'SELECT 1;\n' };
    };
    expect(await read('inspect', entries())).toEqual({ tables: 1, roles: 1 });
  });

  test('names that are nobody’s are refused before they fill the daemon’s memory', async () => {
    const entries = function* () {
      for (let n = 0; n < 40; n++) {
        const definition = `CREATE TABLE public."${n}${'x'.repeat(MEGABYTE)}" (i integer);\n`;
        yield { type: 'TABLE', definition };
      }
    };
    expect(await read('inspect', entries())).toMatchObject({ code: 'drop/too-many-objects' });
  });

  test('so are grants to millions', async () => {
    const definition = `GRANT SELECT ON TABLE public.t TO ${'a,'.repeat(1.5 * MEGABYTE)}a;\n`;
    const acl = [{ type: 'ACL', tag: 'TABLE t', definition }];
    expect(await read('owners', acl)).toMatchObject({ code: 'drop/too-many-objects' });
  });

  test('a name of a table of contents that has no end', async () => {
    const entries = [{ type: 'TABLE', tag: 'x'.repeat(MEGABYTE) }];
    expect(await read('inspect', entries)).toMatchObject({ code: 'drop/too-many-objects' });
  });

  test.each<[string, HostileEntry, number | undefined]>([
    ['a length beyond the file', { tagLength: 1_000_000 }, undefined],
    ['a length beyond all memory', { tagLength: 0x7fffffff }, undefined],
    ['a length that is no length', { tagLength: 0xffffffff }, undefined],
    ['more entries than there are', {}, 0x7fffffff],
    ['fewer entries than none', {}, -5],
  ])('%s', async (_what, entry, count) => {
    const { code } = await read('inspect', [entry, {}], count);
    expect(code).toMatch(/^drop\/(truncated|corrupt|too-complex)$/);
  });
});
