import { describe, expect, test } from 'vitest';
import {
  DumpMessages,
  dumpError,
  isProgressOfDump,
} from '../../../src/core/engines/postgres/backup/dump-messages.ts';
import { compareVersions, psqlIsSafe } from '../../../src/core/engines/postgres/clients.ts';
import { connectError, queryError } from '../../../src/core/engines/postgres/connection-errors.ts';
import {
  describeConnection,
  libpqEnvironment,
} from '../../../src/core/engines/postgres/environment.ts';
import { lockKey } from '../../../src/core/engines/postgres/lock.ts';
import {
  conninfoValue,
  fitsName,
  ident,
  literal,
  startupOptions,
} from '../../../src/core/engines/postgres/quoting.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';
import { together } from '../../../src/core/runtime/together.ts';

describe('quoting', () => {
  test('identifiers, literals and conninfo values keep what is in them', () => {
    expect(ident('a"b.c\nd')).toBe('"a""b.c\nd"');
    expect(literal("it's")).toBe("'it''s'");
    expect(literal("a\\'b")).toBe("E'a\\\\''b'");
    expect(conninfoValue("a'b\\c=d")).toBe("'a\\'b\\\\c=d'");
    expect(startupOptions({ a: 'x y\\z', b: 0 })).toBe('-c a=x\\ y\\\\z -c b=0');
  });

  test('a NUL is refused, and so is a name that the server would cut', () => {
    expect(() => ident('a\0')).toThrow(RangeError);
    expect(fitsName('ü'.repeat(31))).toBe(true);
    expect(fitsName('ü'.repeat(32))).toBe(false);
    expect(fitsName('')).toBe(false);
  });
});

describe('clients', () => {
  test('psql is safe from the release that closed the way out of \\restrict', () => {
    for (const version of ['14.24', '15.19', '16.15', '17.11', '18.6', '19.0', '15.20 (Debian)']) {
      expect([version, psqlIsSafe(version)]).toEqual([version, true]);
    }
    for (const version of ['13.30', '14.23', '15.18', '16.14', '17.10', '18.5', '18beta1', '']) {
      expect([version, psqlIsSafe(version)]).toEqual([version, false]);
    }
  });

  test('versions compare by number', () => {
    expect(['18.10', '18.9', '15.18'].toSorted(compareVersions)).toEqual([
      '15.18',
      '18.9',
      '18.10',
    ]);
  });
});

describe('environment', () => {
  const connection = {
    host: 'db',
    port: 5432,
    user: 'a b',
    password: 'pw',
    database: 'host=evil user=x',
    sslMode: 'prefer',
  } as const;

  test('names and the password go into variables, and a description has no password', () => {
    const environment = libpqEnvironment(connection, {
      applicationName: 'dropback test',
      settings: { row_security: 'off' },
    });
    expect(environment).toMatchObject({
      PGDATABASE: 'host=evil user=x',
      PGPASSWORD: 'pw',
      PGSSLMODE: 'prefer',
      PGOPTIONS: '-c row_security=off',
    });
    expect(describeConnection(connection)).toBe(
      'postgresql://a%20b@db:5432/host%3Devil%20user%3Dx',
    );
  });
});

describe('errors of connections and statements', () => {
  const server = (code: string, message = 'm') =>
    Object.assign(new Error(message), { code, severity: 'ERROR' });
  const system = (code: string) => Object.assign(new Error(code), { code });

  test.each([
    [server('28P01'), 'database/auth-failed', false],
    [server('28000'), 'database/auth-failed', false],
    [new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: x'), 'database/auth-failed', false],
    [server('3D000'), 'database/missing', false],
    [server('57P03'), 'database/unreachable', true],
    [server('53300'), 'database/unreachable', true],
    [system('ECONNREFUSED'), 'database/unreachable', true],
    [system('ENOTFOUND'), 'database/unreachable', true],
    [system('EAI_AGAIN'), 'database/unreachable', true],
    [new Error('Connection terminated unexpectedly'), 'database/unreachable', true],
    [system('SELF_SIGNED_CERT_IN_CHAIN'), 'database/tls-failed', false],
    [new Error('The server does not support SSL connections'), 'database/tls-failed', false],
    [server('08P01', 'unsupported startup parameter: options'), 'database/pooler', false],
    [server('42501'), 'database/query-failed', false],
  ])('connecting: %s', (error, code, retryable) => {
    expect(connectError(error, 'db')).toMatchObject({ code, retryable });
  });

  test('a failed statement names its SQLSTATE; a lost connection is retryable', () => {
    expect(queryError(server('22012'), 'db').facts['sqlstate']).toBe('22012');
    expect(queryError(server('57P01'), 'db')).toMatchObject({
      code: 'database/unreachable',
      retryable: true,
    });
  });
});

describe('what pg_dump prints', () => {
  test('warnings keep their details, errors are set apart', () => {
    const messages = new DumpMessages();
    for (const line of [
      'pg_dump: warning: there are circular foreign-key constraints on this table:',
      'pg_dump: detail: public.a',
      'pg_dump: hint: Consider a full dump.',
      'pg_dump: error: query failed: ERROR:  x',
    ]) {
      messages.add(line);
    }
    expect(messages.allWarnings).toEqual([
      'pg_dump: there are circular foreign-key constraints on this table: (public.a) (Consider a full dump.)',
    ]);
    expect(messages.errors).toEqual(['pg_dump: query failed: ERROR:  x']);
  });

  test('what --verbose prints between two messages joins neither; a line of two processes loses no error', () => {
    const messages = new DumpMessages();
    const lines = [
      'pg_dump: warning: table "a\rb" may have dropped check constraints',
      'pg_dump: finished item 7 TABLE DATA a',
      'pg_dump: pg_dump: error: Dumping the contents of table "b" failed.',
      ' pg_dump:dumping contents of table "public.c"',
      'pg_dump:pg_dump: finished item 8 TABLE DATA d',
      ' error: query failed: ERROR:  x',
      'DETAIL:  y',
    ];
    for (const line of lines) messages.add(line);
    expect(messages.warnings).toEqual(['pg_dump: table "a\rb" may have dropped check constraints']);
    expect(messages.errors).toEqual([
      'pg_dump: Dumping the contents of table "b" failed.',
      'pg_dump: query failed: ERROR:  x (DETAIL:  y)',
    ]);
    expect(lines.filter(isProgressOfDump)).toEqual([lines[1], lines[3], lines[4]]);
  });

  test('that it was ended by a signal is no progress', () => {
    expect(isProgressOfDump('pg_dump: terminated by user')).toBe(false);
  });

  test.each([
    ['tee', 'tee: /b/x: No space left on device', 'disk/full'],
    [
      'pg_dump',
      'pg_dump: error: connection to server at "x" failed: refused',
      'database/unreachable',
    ],
    ['pg_dump', 'ERROR:  permission denied for table t', 'backup/not-permitted'],
    ['pg_dump', 'pg_dump: error: something else', 'tool/failed'],
  ])('%s: %s', (program, line, code) => {
    const failed = new DropbackError('tool/failed', 'x', {
      hint: 'h',
      facts: { program, stderr: [line] },
    });
    expect(dumpError(failed).code).toBe(code);
  });

  const epilogue = 'pg_dump: error: a worker process died unexpectedly';

  test.each([epilogue, 'pg_dump: detail: Query was: SELECT 1'])('the cause is not: %s', (last) => {
    const stderr = ['pg_dump: error: query failed: ERROR:  x', 'pg_dump: detail: y', last];
    const failed = new DropbackError('tool/failed', `pg_dump exited with code 1: ${last}`, {
      hint: 'h',
      facts: { program: 'pg_dump', stderr },
    });
    expect(dumpError(failed).message).toBe(
      'pg_dump exited with code 1: pg_dump: error: query failed: ERROR:  x',
    );
  });

  test('an error whose text is torn off is not taken for the cause', () => {
    const stderr = [
      'pg_dump: error: pg_dump: finished item 7 TABLE DATA a',
      'query failed',
      epilogue,
    ];
    const torn = new DropbackError('tool/failed', `pg_dump exited with code 1: ${epilogue}`, {
      hint: 'h',
      facts: { program: 'pg_dump', stderr },
    });
    expect(dumpError(torn)).toBe(torn);
  });

  test('a worker that said nothing', () => {
    const alone = new DropbackError('tool/failed', `pg_dump exited with code 1: ${epilogue}`, {
      hint: 'h',
      facts: { program: 'pg_dump', stderr: [epilogue] },
    });
    expect(dumpError(alone)).toBe(alone);
  });
});

describe('together', () => {
  const never = new AbortController().signal;
  const untilAborted = (signal: AbortSignal) =>
    new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(new Error('second'))),
    );

  test('gives both results', async () => {
    const both = await together(
      never,
      async () => 1,
      async () => 'a',
    );
    expect(both).toEqual([1, 'a']);
  });

  test('the first failure ends the other, and is the error', async () => {
    const failing = async () => {
      throw new Error('first');
    };
    await expect(together(never, failing, untilAborted)).rejects.toThrow('first');
    await expect(together(never, untilAborted, failing)).rejects.toThrow('first');
  });
});

test('the key of a lock is stable: two versions of this software must exclude each other', () => {
  expect(lockKey('app')).toBe(lockKey('app'));
  expect(lockKey('app')).not.toBe(lockKey('App'));
  expect(BigInt.asIntN(64, lockKey('app'))).toBe(lockKey('app'));
});
