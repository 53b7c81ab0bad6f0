import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { type HostileEntry, writeHostileArchive } from '../support/hostile-archive.ts';
import { testbed } from '../support/testbed.ts';

const run = promisify(execFile);
vi.setConfig({ hookTimeout: 240_000 });

const reader = new URL('../support/restore/read-archive.ts', import.meta.url).pathname;
/** Megabytes, a fraction of what a daemon has: one that holds what the files say doesn't end well. */
const HEAP = ['--max-old-space-size=32', '--max-semi-space-size=4'];
const MEGABYTE = 1024 * 1024;

interface Archive {
  readonly what: 'inspect' | 'owners';
  readonly entries: Iterable<HostileEntry>;
  readonly count?: number;
}

function inspected(entries: Iterable<HostileEntry>, count?: number): Archive {
  return { what: 'inspect', entries, ...(count === undefined ? {} : { count }) };
}

function* manyEntries(): Generator<HostileEntry> {
  yield { type: 'TABLE', tag: 't', definition: 'CREATE TABLE public.t (i integer);\n' };
  for (let n = 0; n < 200_000; n++) yield { definition: 'SELECT 1;\n' };
}

function* longNames(): Generator<HostileEntry> {
  for (let n = 0; n < 12; n++) {
    const definition = `CREATE TABLE public."${n}${'x'.repeat(MEGABYTE)}" (i integer);\n`;
    yield { type: 'TABLE', definition };
  }
}

const grants = `GRANT SELECT ON TABLE public.t TO ${'a,'.repeat(0.8 * MEGABYTE)}a;\n`;
const named: Readonly<Record<string, Archive>> = {
  many: inspected(manyEntries()),
  names: inspected(longNames()),
  grants: { what: 'owners', entries: [{ type: 'ACL', tag: 'TABLE t', definition: grants }] },
  endless: inspected([{ tag: 'x'.repeat(MEGABYTE), definition: 'SELECT 1;' }]),
  'a length beyond the file': inspected([{ tagLength: 1_000_000 }, {}]),
  'a length beyond all memory': inspected([{ tagLength: 0x7fffffff }, {}]),
  'a length that is none': inspected([{ tagLength: 0xffffffff }, {}]),
  'more entries than there are': inspected([{}, {}], 0x7fffffff),
};

describe.runIf(testbed.postgres15 || testbed.postgres18)('archives made to take memory', () => {
  const found = new Map<string, Record<string, unknown>>();
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dropback-archives-'));
    try {
      const names = Object.keys(named);
      const paths = Object.values(named).map(({ what, entries, count }, index) => {
        const path = join(folder, `${index}.dump`);
        writeHostileArchive(path, entries, count);
        return `${what}:${path}`;
      });
      const { stdout } = await run(process.execPath, [...HEAP, reader, ...paths]);
      const results = JSON.parse(stdout) as Record<string, unknown>[];
      for (const [index, result] of results.entries()) found.set(names[index] ?? '', result);
      expect(await readdir(folder), 'nothing else is left').toHaveLength(names.length);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('countless entries are read in little memory', () => {
    expect(found.get('many')).toEqual({ tables: 1, roles: 0 });
  });

  test('names that are nobody’s are refused before they fill the daemon’s memory', () => {
    expect(found.get('names')).toMatchObject({ code: 'drop/too-many-objects' });
  });

  test('so are grants to millions', () => {
    expect(found.get('grants')).toMatchObject({ code: 'drop/too-many-objects' });
  });

  test('a name in the table of contents that has no end', () => {
    expect(found.get('endless')).toMatchObject({ code: 'drop/too-many-objects' });
  });

  test.each(Object.keys(named).slice(4))('a table of contents with %s', (name) => {
    expect(found.get(name)).toMatchObject({
      code: expect.stringMatching(/^drop\/(truncated|corrupt|too-complex)$/),
    });
  });
});
