import { expect, test } from 'vitest';
import { errorForLog, formatTextLine } from '../../../src/core/observability/log.ts';
import { DropbackError, errorReport } from '../../../src/core/runtime/errors.ts';

const error = new DropbackError('store/unreachable', 'it is away', { hint: 'wait.' });

test('an error and its report are logged alike', () => {
  expect(errorForLog(error)).toEqual(errorReport(error));
  expect(errorForLog(errorReport(error))).toEqual(errorReport(error));
});

test('what is no error of ours comes with its stack', () => {
  const logged = errorForLog(new TypeError('undefined is not a function')) as { stack: string };
  expect(logged).toMatchObject({ code: 'internal/unexpected' });
  expect(logged.stack).toContain('log.test.ts');
});

test('a file where a folder is meant is no bug of ours', () => {
  const looked = Object.assign(new Error("ENOTDIR: not a directory, mkdir '/a/b'"), {
    code: 'ENOTDIR',
    path: '/a/b',
  });
  const { code, hint } = errorReport(looked);
  expect(code).toBe('disk/not-a-folder');
  expect(hint).not.toContain('bug');
});

test('nothing in a text log steers the terminal', () => {
  const line = formatTextLine(
    JSON.stringify({
      time: '2026-11-22T19:15:00.000Z',
      level: 'warn',
      msg: 'a\u001b[31mb\u009b1mc\nd\u202e',
      file: '\u001b]0;x\u0007.sql',
      error: { code: 'drop/x', message: 'says \u001b[2J', hint: 'one\r\ntwo' },
    }),
  );
  const lines = line.split('\n');
  expect(lines).toHaveLength(3);
  expect(line).not.toMatch(/ $/m);
  expect(lines.join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test('a text line leaves whole objects out and cuts long values', () => {
  const line = formatTextLine(
    JSON.stringify({
      time: '2026-11-22T19:15:00.000Z',
      level: 'info',
      program: 'db-restore',
      msg: 'restored app.sql',
      downtimeMs: 349,
      ms: { dump: 12 },
      report: { differences: Array.from({ length: 50 }, (_, i) => `table t${i} appears`) },
      file: 'x'.repeat(500),
    }),
  );
  expect(line).toContain('restored app.sql downtimeMs=349 ms={"dump":12} file=xxx');
  expect(line.length).toBeLessThan(300);
});
