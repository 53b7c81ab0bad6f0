import { expect, test } from 'vitest';
import { createLogger } from '../../../src/core/observability/log.ts';
import { LogTail } from '../../../src/core/observability/log-tail.ts';
import { Redactor } from '../../../src/core/runtime/redact.ts';

const secrets = ['s3cr3t-pw', 'a"quoted\\one', 'message'];

test('a line of a log stays JSON, and its names stay what they are', () => {
  const line = `${JSON.stringify({
    message: 'a message with s3cr3t-pw',
    deep: [{ value: 'x a"quoted\\one y' }],
    number: 1,
    none: null,
  })}\n`;
  expect(JSON.parse(new Redactor(secrets).json(line))).toEqual({
    message: 'a *** with ***',
    deep: [{ value: 'x *** y' }],
    number: 1,
    none: null,
  });
  expect(new Redactor(['another']).json(line)).toBe(line);
});

test('what is logged, and what of it is told, has none of the secrets', () => {
  const tail = new LogTail();
  const log = createLogger({ level: 'fatal', format: 'text', program: 'db-backup', tail, secrets });
  log.fatal(
    { output: ['one s3cr3t-pw'], error: { code: 'x', message: 's3cr3t-pw', hint: '' } },
    'no',
  );
  log.child({ db: 's3cr3t-pw' }).fatal('a"quoted\\one');
  expect(tail.text).toContain('***');
  expect(tail.text).not.toMatch(/s3cr3t|quoted/);
});
