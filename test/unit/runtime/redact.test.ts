import { describe, expect, test } from 'vitest';
import { createLogger } from '../../../src/core/observability/log.ts';
import { LogTail } from '../../../src/core/observability/log-tail.ts';
import { DropbackError, errorReport } from '../../../src/core/runtime/errors.ts';
import { hideInErrors } from '../../../src/core/runtime/hidden.ts';
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

describe('a secret that somebody repeats', () => {
  const secret = 'p/w+1 "ü"&<x>';
  const redactor = new Redactor([secret]);
  const basic = Buffer.from(`app:${secret}`).toString('base64');
  test.each([
    ['in an address', `GET https://db/?p=${encodeURIComponent(secret)}&x=1`],
    ['in lower case', encodeURIComponent(secret).toLowerCase()],
    ['in a form', `p=${new URLSearchParams([['p', secret]])}`],
    ['in an address within an address', encodeURIComponent(encodeURIComponent(secret))],
    ['in JSON', `{"error":${JSON.stringify(secret)}}`],
    ['in JSON within JSON', JSON.stringify(JSON.stringify({ secret }))],
    [
      'in XML',
      `<a>${secret.replace('&', '&amp;').replace('<', '&lt;').replace(/"/g, '&quot;')}</a>`,
    ],
    ['in HTML', [...secret].map((c) => `&#x${c.codePointAt(0)?.toString(16)};`).join('')],
    ['in Authorization: Basic', `Authorization=Basic ${basic} was refused`],
    ['in AUTH PLAIN', Buffer.from(`\0app\0${secret}`).toString('base64url')],
    ['after a path', `https://db/${basic}`],
  ])('%s', (_, text) => {
    const told = redactor.text(text);
    expect(told).toContain('***');
    const line = `${JSON.stringify({ message: text })}\n`;
    for (const shown of [told, JSON.parse(redactor.json(line)).message, redactor.line(text)]) {
      expect(shown).not.toMatch(/p\/w|ü|%2fw|fc;/i);
      expect(shown).not.toContain(basic.slice(8, 20));
    }
  });

  test('what holds none stays as it was written', () => {
    for (const text of [
      '50% done, a+b, {"a":"\\"b\\""}',
      '&lt;b&gt; %2Fpath%41 dGhpcyBpcyBub3Q=',
      '\\u00e',
    ]) {
      expect(redactor.text(text)).toBe(text);
    }
  });
});

test('no error repeats what was configured as a secret, whoever made its text', () => {
  hideInErrors(['s3cr3t-pw']);
  try {
    const facts = { stderr: ['FATAL: s3cr3t-pw'], deep: { url: 'x://a:s3cr3t-pw@b' }, rows: 3 };
    const error = new DropbackError('a/b', 'no s3cr3t-pw', { hint: 'not s3cr3t-pw', facts });
    expect(error.message).toBe('no ***');
    expect(errorReport(error)).toEqual({
      ...{ code: 'a/b', message: 'no ***', hint: 'not ***' },
      facts: { stderr: ['FATAL: ***'], deep: { url: 'x://a:***@b' }, rows: 3 },
    });
    expect(errorReport(new Error('raw s3cr3t-pw')).message).toBe('raw ***');
  } finally {
    hideInErrors([]);
  }
});
