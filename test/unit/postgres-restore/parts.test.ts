import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { expectedBytes, stagingBudget } from '../../../src/core/engines/postgres/restore/budget.ts';
import { grantOrder } from '../../../src/core/engines/postgres/restore/carry-over.ts';
import { countDifferences } from '../../../src/core/engines/postgres/restore/counts.ts';
import { creationOptions } from '../../../src/core/engines/postgres/restore/create-staging.ts';
import type { DatabaseFacts } from '../../../src/core/engines/postgres/restore/live.ts';
import {
  newNames,
  parseDatabaseName,
  parseLoadRole,
} from '../../../src/core/engines/postgres/restore/names.ts';
import { RestoreMessages } from '../../../src/core/engines/postgres/restore/restore-messages.ts';
import { compareWithLive } from '../../../src/core/engines/postgres/restore/same-application.ts';
import { scramVerifier } from '../../../src/core/engines/postgres/restore/scram.ts';
import { settingValue } from '../../../src/core/engines/postgres/restore/setting-value.ts';
import { fromState } from '../../../src/core/engines/postgres/restore/state.ts';
import { chooseJobs } from '../../../src/core/engines/postgres/restore/tuning.ts';

describe('names', () => {
  test('are told apart exactly', () => {
    const names = newNames();
    expect(parseDatabaseName(names.staging)).toEqual({ kind: 'staging', id: names.id });
    expect(parseDatabaseName(names.previous)).toEqual({ kind: 'previous', id: names.id });
    expect(parseLoadRole(names.loadRole)).toBe(names.id);
  });

  test.each([
    'app',
    'dropback_s_',
    'dropback_s_0123456789abcde',
    'dropback_s_0123456789abcdef0',
    'dropback_s_0123456789ABCDEF',
    'dropback_x_0123456789abcdef',
    'dropback_s_0123456789abcdef\n',
    ' dropback_s_0123456789abcdef',
  ])('%j is nobody of ours', (name) => expect(parseDatabaseName(name)).toBeUndefined());
});

describe('a state from the journal', () => {
  test.each([
    {},
    { kind: 'restore' },
    { stagingName: 'app', kind: 'restore', id: 'x', target: 'live' },
  ])('that is not ours is refused: %j', (state) => {
    expect(() => fromState({ engine: 'postgres', ...state } as never)).toThrow('no PostgreSQL');
  });
});

test('a verifier is what the server would have computed', () => {
  const salt = Buffer.from('0123456789abcdef');
  const [, , parameters = '', keys = ''] =
    /^(.*?)\$(.*?)\$(.*)$/.exec(scramVerifier('pässword'.replace('ä', 'a'), salt)) ?? [];
  const salted = pbkdf2Sync('password', salt, 4096, 32, 'sha256');
  const client = createHmac('sha256', salted).update('Client Key').digest();
  const stored = createHash('sha256').update(client).digest('base64');
  const server = createHmac('sha256', salted).update('Server Key').digest('base64');
  expect(parameters).toBe(`4096:${salt.toString('base64')}`);
  expect(keys).toBe(`${stored}:${server}`);
  expect(() => scramVerifier('ä')).toThrow(RangeError);
});

describe('a stored setting', () => {
  test.each([
    ['work_mem', '7MB', "'7MB'"],
    ['search_path', '"$user", public', "'$user', 'public'"],
    ['search_path', '"a""b, c", d', `'a"b, c', 'd'`],
    ['search_path', '""', "''"],
    ['search_path', '', "''"],
    ['app.tenant', `a'b\\c, "d"`, `E'a''b\\\\c, "d"'`],
  ])('%s = %s is written as %s', (name, stored, written) => {
    expect(settingValue(name, stored)).toBe(written);
  });
});

test('grants come after the grant options that they rest on', () => {
  const entry = (grantor: string, grantee: string, grantable: boolean) =>
    ({ grantor, grantee, privilege: 'CONNECT', grantable }) as const;
  const entries = [entry('b', 'c', false), entry('a', 'b', true), entry('o', 'a', true)];
  expect(grantOrder(entries, 'o').map((one) => one.grantee)).toEqual(['a', 'b', 'c']);
});

describe('messages of pg_restore', () => {
  const pair = [
    'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"',
    'Command was: SET transaction_timeout = 0;',
  ];
  const judge = (...lines: string[]) => {
    const messages = new RestoreMessages();
    for (const line of lines) messages.push(line);
    messages.end();
    return messages;
  };

  test('the one known pair is tolerated, however often', () => {
    const found = judge(
      'pg_restore: while INITIALIZING:',
      ...pair,
      ...pair,
      'pg_restore: warning: errors ignored on restore: 1',
    );
    expect(found.onlyTolerated).toBe(true);
    expect(found.warnings).toEqual([]);
  });

  test('workers that speak at the same time mix their heads up, and no more', () => {
    const [said = '', command = ''] = pair;
    const message = said.replace('pg_restore: error: ', '');
    const both = judge(
      `pg_restore: error: pg_restore:${message}`,
      command,
      ` error: ${message}`,
      command,
    );
    expect(both.onlyTolerated).toBe(true);
    expect(both.tolerated).toBe(2);
    const other = 'could not execute query: ERROR:  relation "x" does not exist';
    const hidden = judge(`pg_restore: error: pg_restore: error: ${message}`, command, other);
    expect(hidden.errors).toEqual([other]);
    expect(judge('pg_restore: error: pg_restore: while INITIALIZING:', ...pair).onlyTolerated).toBe(
      true,
    );
  });

  test.each([
    ['another error besides', [...pair, 'pg_restore: error: could not execute query: ERROR:  x']],
    ['another command', [pair[0] ?? '', 'Command was: SET transaction_timeout = 1;']],
    ['no command', [pair[0] ?? '']],
    ['nothing at all', []],
    ['an error after two heads', [...pair, 'pg_restore: pg_restore: error: error: COPY failed']],
    ['a failed COPY', ['pg_restore: error: COPY failed for table "t": ERROR:  y']],
  ])('%s is an error', (_what, lines) => expect(judge(...lines).onlyTolerated).toBe(false));
});

describe('another application', () => {
  const live = [
    { schema: 'public', name: 'a', bytes: 900 },
    { schema: 'public', name: 'b', bytes: 100 },
    { schema: 'public', name: 'empty', bytes: 0 },
  ];
  const holding = (...names: string[]) => ({
    tables: names.map((name) => ({ schema: 'public', name })),
    dataOnly: false,
    schemaOnly: false,
  });

  test('lacks more than a tenth of the live bytes', () => {
    expect(compareWithLive(holding('a'), live, undefined).differences).toHaveLength(2);
    expect(() => compareWithLive(holding('b'), live, undefined)).toThrow('90%');
    expect(compareWithLive(holding('b'), live, 'forced').warnings.join()).toMatch(/^forced, .*90%/);
    expect(compareWithLive(holding('b'), live, 'own').warnings.join()).toMatch(/^the file .*90%/);
    expect(compareWithLive(holding(), [], undefined).differences).toEqual([]);
  });
});

test('counts differ by rows, by missing tables, and by tables that nobody expected', () => {
  const table = (name: string, rows: number) => ({ schema: 's', name, rows });
  const expected = [table('same', 1), table('fewer', 2), table('gone', 0)];
  const found = [table('same', 1), table('fewer', 1), table('new', 3), table('void', 0)];
  expect(countDifferences(expected, found)).toHaveLength(3);
});

test('a hundred thousand tables have room, however little their script is', () => {
  const script = { bytes: 7_000_000, lines: 200_000 };
  expect(stagingBudget(expectedBytes(script, undefined, 100_000), 0, undefined)).toBeGreaterThan(
    3.5e9,
  );
});

test('the budget follows the larger of live size and content, with room for small ones', () => {
  const GIB = 2 ** 30;
  expect(stagingBudget(4 * GIB, 2 * GIB, undefined)).toBe(6 * GIB);
  expect(stagingBudget(2 * GIB, 4 * GIB, undefined)).toBe(6 * GIB);
  expect(stagingBudget(1, 1, undefined)).toBe(2 ** 28);
  expect(stagingBudget(4 * GIB, 2 * GIB, 5)).toBe(5);
  expect(expectedBytes({ bytes: GIB, lines: 1000 }, undefined)).toBeGreaterThan(2 * GIB);
});

test('jobs never take the last connections', () => {
  expect(chooseJobs(8, 100, 1)).toBe(8);
  expect(chooseJobs(8, 5, 8)).toBe(2);
  expect(chooseJobs(8, 0, 8)).toBe(1);
});

test('jobs leave the processors to those who use them, unless their number was asked for', () => {
  expect(chooseJobs(undefined, 100, 8)).toBe(4);
  expect(chooseJobs(undefined, 100, 2)).toBe(2);
  expect(chooseJobs(undefined, 100, -3)).toBe(1);
});

describe('a staging database is created like the live one', () => {
  const facts = (row: Record<string, unknown>, change: Partial<DatabaseFacts> = {}) =>
    ({
      encoding: 'UTF8',
      tablespace: 'pg_default',
      tablespaceIsDefault: true,
      row: { datcollate: 'C', datctype: 'en_US.utf8', ...row },
      ...change,
    }) as unknown as DatabaseFacts;

  test.each([
    ['before 15', {}, []],
    ['libc', { datlocprovider: 'c' }, ['LOCALE_PROVIDER libc']],
    [
      'ICU of 15',
      { datlocprovider: 'i', daticulocale: 'de' },
      ['LOCALE_PROVIDER icu', "ICU_LOCALE 'de'"],
    ],
    [
      'ICU of 17 with rules',
      { datlocprovider: 'i', datlocale: 'de', daticurules: '&a<b' },
      ['LOCALE_PROVIDER icu', "ICU_LOCALE 'de'", "ICU_RULES '&a<b'"],
    ],
    [
      'builtin',
      { datlocprovider: 'b', datlocale: 'C.UTF-8' },
      ['LOCALE_PROVIDER builtin', "BUILTIN_LOCALE 'C.UTF-8'"],
    ],
  ])('%s', (_what, row, locale) => {
    const base = ["ENCODING 'UTF8'", "LC_COLLATE 'C'", "LC_CTYPE 'en_US.utf8'"];
    expect(creationOptions(facts(row))).toEqual([...base, ...locale]);
  });

  test('in its tablespace, where that is not the default', () => {
    const options = creationOptions(
      facts({}, { tablespace: 'fast "1"', tablespaceIsDefault: false }),
    );
    expect(options.at(-1)).toBe('TABLESPACE "fast ""1"""');
  });
});
