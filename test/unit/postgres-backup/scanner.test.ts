import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ArchiveScanner } from '../../../src/core/engines/postgres/backup/read-back-scanner.ts';

/** What pg_restore prints, with all that could be taken for something else. */
const SCRIPT = [
  '--\n-- PostgreSQL database dump\n--\n\n\\restrict aB3"x\n\n',
  "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n",
  '--\n-- Data for Name: "; COPY public.fake FROM stdin;\n--\n\n',
  'COPY public.plain (id, "odd ; col") FROM stdin;\n1\ta\n2\t\\\\.\n\\\\.\tx\n\\N\t\\N\n\n\\.\n\n\n',
  'COPY "we""ird.schema"."na\nme; FROM stdin; ü" (a) FROM stdin;\nCOPY public.no FROM stdin;\n.\n\\..\n\\.\n\n',
  'COPY public.empty (a) FROM stdin;\n\\.\n\n',
  'COPY public.zero  FROM stdin;\n\n\n\\.\n\n',
  "SELECT pg_catalog.setval('public.\"s''q; --\"', -5, true);\n",
  "BEGIN;\n\nSELECT pg_catalog.lo_open('16407', 131072);\nSELECT pg_catalog.lowrite(0, '\\x434f5059');\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n\n",
  "SELECT pg_catalog.lo_open('16408', 131072);\nSELECT pg_catalog.lo_close(0);\n",
  'REFRESH MATERIALIZED VIEW public."m;v";\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict aB3"x\n\n',
].join('');

const TABLES = [
  { schema: 'public', name: 'plain', rows: 5 },
  { schema: 'we"ird.schema', name: 'na\nme; FROM stdin; ü', rows: 3 },
  { schema: 'public', name: 'empty', rows: 0 },
  { schema: 'public', name: 'zero', rows: 2 },
];

function scan(text: Buffer, cuts: readonly number[]): ArchiveScanner {
  const scanner = new ArchiveScanner();
  let from = 0;
  for (const cut of [...cuts, text.length]) {
    scanner.push(text.subarray(from, cut));
    from = Math.max(from, cut);
  }
  return scanner;
}

describe('ArchiveScanner', () => {
  const script = Buffer.from(SCRIPT);

  test('counts the rows of COPY blocks and nothing else', () => {
    const scanner = scan(script, []);
    expect(scanner.tables()).toEqual(TABLES);
    expect(scanner.largeObjects).toBe(2);
    expect(scanner.isComplete).toBe(true);
  });

  test('counts the same when the text comes byte by byte', () => {
    const scanner = scan(
      script,
      Array.from({ length: script.length }, (_, index) => index),
    );
    expect(scanner.tables()).toEqual(TABLES);
    expect(scanner.largeObjects).toBe(2);
  });

  test('counts the same wherever the chunks begin', () => {
    const cuts = fc.array(fc.nat(script.length), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, (unsorted) => {
        const scanner = scan(
          script,
          unsorted.toSorted((a, b) => a - b),
        );
        expect(scanner.tables()).toEqual(TABLES);
        expect(scanner.largeObjects).toBe(2);
      }),
    );
  });

  test('says so when the text ends within a block or a statement', () => {
    const block = script.indexOf('2\t');
    const statement = script.indexOf('lo_open') + 3;
    expect(scan(script.subarray(0, block), []).isComplete).toBe(false);
    expect(scan(script.subarray(0, statement), []).isComplete).toBe(false);
  });

  test('adds up a table that has more than one block', () => {
    const block = 'COPY public.t (a) FROM stdin;\n1\n\\.\n';
    expect(scan(Buffer.from(block + block), []).tables()).toEqual([
      { schema: 'public', name: 't', rows: 2 },
    ]);
  });

  test('reads names in the encoding of the archive', () => {
    const text = Buffer.concat([
      Buffer.from("SET client_encoding = 'LATIN1';\nCOPY public.\"gr"),
      Buffer.from([0xfc]),
      Buffer.from('n" (a) FROM stdin;\n1\n\\.\n'),
    ]);
    expect(scan(text, []).tables()).toEqual([{ schema: 'public', name: 'grün', rows: 1 }]);
  });

  test('keeps nothing of a long row or a long statement', () => {
    const scanner = new ArchiveScanner();
    scanner.push(Buffer.from("SELECT pg_catalog.lowrite(0, '\\x"));
    for (let i = 0; i < 300; i++) scanner.push(Buffer.alloc(65_536, 0x61));
    scanner.push(Buffer.from("');\nCOPY public.t (a) FROM stdin;\n"));
    for (let i = 0; i < 300; i++) scanner.push(Buffer.alloc(65_536, 0x62));
    scanner.push(Buffer.from('\n\\.\n'));
    expect(scanner.tables()).toEqual([{ schema: 'public', name: 't', rows: 1 }]);
    expect(scanner.isComplete).toBe(true);
  });
});
