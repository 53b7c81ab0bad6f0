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
