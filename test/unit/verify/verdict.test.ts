import { describe, expect, test } from 'vitest';
import { verdictOf } from '../../../src/backup/verify/verdict.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';

const load = (...stderr: string[]) =>
  new DropbackError('drop/does-not-load', 'the file does not load', {
    hint: 'x',
    facts: { stderr },
  });

describe('who is to blame', () => {
  test.each([
    'pg_restore: error: could not execute query: ERROR:  permission denied to create extension "postgis"',
    'pg_restore: error: could not execute query: ERROR:  must be owner of table t',
    'pg_restore: error: could not execute query: ERROR:  role "app" does not exist',
    'pg_restore: error: could not execute query: ERROR:  extension "postgis" is not available',
    'pg_restore: error: COPY failed for table "t": ERROR:  could not extend file "base/1/2": No space left on device',
    'pg_restore: error: COPY failed for table "t": server closed the connection unexpectedly',
    'pg_restore: error: connection to server at "db", port 5432 failed: FATAL:  sorry, too many clients already',
    'pg_restore: error: could not execute query: ERROR:  out of shared memory',
  ])('the server: %s', (line) => {
    expect(verdictOf(load('pg_restore: while PROCESSING TOC:', line))).toBe('inconclusive');
  });

  test.each([
    'pg_restore: error: could not read from input file: end of file',
    'pg_restore: error: could not execute query: ERROR:  could not create unique index "t_pkey"',
    'pg_restore: error: could not execute query: ERROR:  insert or update on table "a" violates foreign key constraint "b"',
    'pg_restore: error: COPY failed for table "t": ERROR:  invalid byte sequence for encoding "UTF8": 0xff',
    'pg_restore: error: could not execute query: ERROR:  relation "x" does not exist',
  ])('the backup: %s', (line) => expect(verdictOf(load(line))).toBe('failed'));

  test('a bug of ours, or an error that nobody knows, is not held against a backup', () => {
    expect(verdictOf(new TypeError('x is not a function'))).toBe('inconclusive');
    for (const code of [
      'disk/full',
      'database/unreachable',
      'tool/no-client',
      'verify/timed-out',
    ]) {
      expect(verdictOf(new DropbackError(code, 'x', { hint: 'x' }))).toBe('inconclusive');
    }
  });
});
