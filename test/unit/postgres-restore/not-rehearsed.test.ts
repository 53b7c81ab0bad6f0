import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { rehearsedTables } from '../../../src/core/engines/postgres/rehearsal/compare.ts';
import {
  isAboutRights,
  NotRehearsed,
  nameOf,
} from '../../../src/core/engines/postgres/rehearsal/not-rehearsed.ts';
import { EntryErrors } from '../../../src/core/engines/postgres/restore/entry-errors.ts';
import { parseDependencies, parseToc } from '../../../src/core/engines/postgres/script/toc.ts';

const listing = `;
; Archive created at 2026-11-23 03:10:46 UTC
;     dbname: app
;
228; 1255 256020 FUNCTION public cfun(integer) postgres
3600; 0 0 COMMENT public FUNCTION cfun(integer) postgres
;	depends on: 228
220; 1259 256021 TABLE public two words the owner
;	depends on: 228 7
227; 1259 256062 SEQUENCE public own postgres
;	depends on: 220
221; 1259 256025 TABLE public ok postgres
222; 1259 256028 VIEW public v postgres
;	depends on: 228 221
3511; 0 256021 TABLE DATA public two words the owner
;	depends on: 220
`;
const toc = parseToc(listing, { roles: ['the owner', 'postgres'] });
const dependencies = parseDependencies(listing);
const rows = (...tables: [string, number][]) =>
  ({
    tables: tables.map(([name, count]) => ({ schema: 'public', name, rows: count })),
  }) as unknown as Manifest;

describe('what a load role may not create', () => {
  test('takes with it what needs it, however far away, and nothing else', () => {
    const left = new NotRehearsed(toc, new Set([228]), dependencies);
    const missing = toc.entries.filter(({ dumpId }) => left.has(dumpId)).map((one) => one.dumpId);
    expect(missing).toEqual([228, 3600, 220, 227, 222, 3511]);
    expect(left.isPartial).toBe(true);
    expect(left.warnings()).toEqual([
      'not rehearsed, because only a superuser may create it: function public.cfun(integer); nor what needs that: table public.two words, sequence public.own, view public.v',
    ]);
    expect(left.namesOf('SEQUENCE')).toEqual(new Set(['public own']));
    expect(nameOf({ schema: 'two\nlines', name: 'x' })).toBe('two lines x');
  });

  test('a comment alone is not missed', () => {
    const left = new NotRehearsed(toc, new Set([3600]), dependencies);
    expect(left.isPartial).toBe(false);
    expect(left.warnings()).toEqual([]);
  });

  test('tables without it are compared, if any of them holds rows', () => {
    const left = new NotRehearsed(toc, new Set([228]), dependencies);
    const both = rehearsedTables(rows(['two words', 2], ['ok', 1]), left);
    expect(both.map(({ name }) => name)).toEqual(['ok']);
    expect(() => rehearsedTables(rows(['two words', 2], ['ok', 0]), left)).toThrow(
      expect.objectContaining({ code: 'verify/not-rehearsable' }),
    );
    expect(rehearsedTables(rows(['two words', 0]), left)).toEqual([]);
  });

  test.each([
    'ERROR:  permission denied for language internal',
    'ERROR:  must be superuser to create an operator family',
    'ERROR:  must be owner of type text or type integer',
    'ERROR:  only superuser can define a leakproof function',
  ])('%s', (message) => {
    expect(isAboutRights(message)).toBe(true);
  });

  test('a damaged definition is something else', () => {
    expect(isAboutRights('ERROR:  syntax error at or near "CREAT"')).toBe(false);
    expect(isAboutRights('ERROR:  relation "public.t" does not exist')).toBe(false);
  });
});

test('errors go to the entry that was named last, and all of them have to be told', () => {
  const errors = new EntryErrors();
  const lines = [
    'pg_restore: while INITIALIZING:',
    'pg_restore: error: could not execute query: ERROR:  a',
    'pg_restore: from TOC entry 228; 1255 256020 FUNCTION cfun(integer) postgres',
    'pg_restore: error: could not execute query: ERROR:  b',
    'Command was: CREATE FUNCTION',
    'pg_restore: error: could not execute query: ERROR:  c',
    'pg_restore: warning: errors ignored on restore: 3',
  ];
  for (const line of lines.slice(0, -1)) errors.push(line);
  expect(errors.isWhole).toBe(false);
  for (const line of lines.slice(-1)) errors.push(line);
  expect(errors.isWhole).toBe(true);
  expect(errors.all.map(({ dumpId }) => dumpId)).toEqual([undefined, 228, 228]);
  errors.push('pg_restore: error: could not execute query: ERROR:  d');
  expect(errors.isWhole).toBe(false);
});
