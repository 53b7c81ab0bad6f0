import { describe, expect, test } from 'vitest';
import { verdictOf } from '../../../src/backup/verify/verdict.ts';
import { decompressionError } from '../../../src/core/archive/compression.ts';
import { loadError } from '../../../src/core/engines/postgres/restore/load-error.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';
import { isAboutReading } from '../../../src/core/stores/store-errors.ts';

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
    'pg_restore: error: could not execute query: ERROR:  could not read blocks 0..0 in file "base/1/2": Input/output error',
    'pg_restore: error: could not execute query: ERROR:  could not read block 7 in file "base/1/2": read only 0 of 8192 bytes',
    'pg_restore: error: could not execute query: ERROR:  collation "de_DE" for encoding "UTF8" does not exist',
    'pg_restore: error: a worker process died unexpectedly',
    'pg_restore: error: could not execute query: ERROR:  could not load library "/usr/lib/x.so": x',
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

  test('a program that was killed has judged nothing, whatever its end was taken for', () => {
    const killed = new DropbackError('tool/failed', 'zstd was ended by SIGKILL', {
      hint: 'x',
      facts: { program: 'zstd', exitCode: null, exitSignal: 'SIGKILL', stderr: [] },
    });
    for (const error of [
      decompressionError(killed, 'zstd'),
      loadError('pg_restore', [], killed),
      new DropbackError('drop/corrupt', 'x', { hint: 'x', cause: killed }),
    ]) {
      expect(verdictOf(error), error.code).toBe('inconclusive');
    }
    const damaged = new DropbackError('tool/failed', 'zstd exited with code 1', {
      hint: 'x',
      facts: { program: 'zstd', exitCode: 1, exitSignal: null, stderr: [] },
    });
    expect(verdictOf(decompressionError(damaged, 'zstd'))).toBe('failed');
  });

  test.each<[boolean, string[]]>([
    [true, ['EIO', 'EACCES', 'EPERM', 'ESTALE', 'ENXIO', 'EUCLEAN', 'ENODEV', 'EISDIR']],
    [false, ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR', 'ENOENT', 'ERR_INVALID_ARG_TYPE']],
  ])('a system error is the disk’s: %s', (isTheDisks, codes) => {
    for (const code of codes) {
      expect(isAboutReading(Object.assign(new Error('x'), { code })), code).toBe(isTheDisks);
    }
  });

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
