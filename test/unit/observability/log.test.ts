import { expect, test } from 'vitest';
import { errorForLog } from '../../../src/core/observability/log.ts';
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
