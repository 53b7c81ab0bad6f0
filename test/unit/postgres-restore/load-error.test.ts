import { expect, test } from 'vitest';
import { loadError } from '../../../src/core/engines/postgres/restore/load-error.ts';

test('a server without space is not the fault of the file', () => {
  const said = [
    'pg_restore: error: COPY failed for table "t": ERROR:  could not extend file "base/5/16412": No space left on device',
    'HINT:  Check free disk space.',
  ];
  const error = loadError('pg_restore', said);
  expect(error).toMatchObject({ code: 'disk/full', retryable: false });
  expect(error.message).toContain('COPY failed for table "t"');
  expect(error.hint).toContain('RESTORE_SERVER_DATA_DIR');
});

test('a server that went away is worth another attempt', () => {
  const said = ['psql: error: server closed the connection unexpectedly'];
  expect(loadError('psql', said)).toMatchObject({ retryable: true });
});

test('the last words of a server without space for its log count more than its end', () => {
  const said = [
    'psql:<stdin>:7: PANIC:  could not write to file "pg_wal/xlogtemp.77": No space left on device',
    'psql:<stdin>:7: error: connection to server was lost',
  ];
  expect(loadError('psql', said)).toMatchObject({ code: 'disk/full', retryable: false });
});

test('a full table of locks names the setting', () => {
  const said = ['psql:<stdin>:9: ERROR:  out of shared memory'];
  const error = loadError('psql', said);
  expect(error).toMatchObject({ code: 'database/out-of-locks', retryable: false });
  expect(error.hint).toContain('max_locks_per_transaction');
});
