import { expect, test } from 'vitest';
import { dumpError } from '../../../src/core/engines/postgres/backup/dump-messages.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';

const failed = (program: string, ...stderr: string[]) =>
  new DropbackError('tool/failed', `${program} exited with code 1: ${stderr.at(-1)}`, {
    hint: '-',
    facts: { program, exitCode: 1, exitSignal: null, stderr },
  });

test.each([
  'server closed the connection unexpectedly',
  'pg_dump: detail: Error message from server: FATAL:  terminating connection due to administrator command',
  'pg_dump: error: query failed: SSL SYSCALL error: EOF detected',
  'pg_dump: error: query failed: could not send data to server: Broken pipe',
  'pg_dump: error: query failed: could not receive data from server: Connection reset by peer',
  'pg_dump: error: query failed: no connection to the server',
])('a lost connection may be tried again: %s', (line) => {
  expect(dumpError(failed('pg_dump', line))).toMatchObject({
    code: 'database/unreachable',
    retryable: true,
  });
});

test.each([
  ['pg_dump', 'pg_dump: error: could not write to file: Broken pipe'],
  ['zstd', 'server closed the connection unexpectedly'],
])('what is no lost connection stays what it is: %s, %s', (program, line) => {
  expect(dumpError(failed(program, line))).toMatchObject({ code: 'tool/failed' });
});
