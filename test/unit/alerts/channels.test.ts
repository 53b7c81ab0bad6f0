import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Alert } from '../../../src/core/alerts/alert.ts';
import { alertChecks } from '../../../src/core/alerts/alert-checks.ts';
import type { AlertChannel } from '../../../src/core/alerts/channel.ts';
import { Email } from '../../../src/core/alerts/email.ts';
import { Webhook } from '../../../src/core/alerts/webhook.ts';
import type { AlertsConfig, WebhookFormat } from '../../../src/core/config/config.ts';
import { isAbort } from '../../../src/core/runtime/errors.ts';
import { Redactor } from '../../../src/core/runtime/redact.ts';
import { HttpSink } from '../../support/http-sink.ts';
import { SmtpSink } from '../../support/smtp-sink.ts';

const alert: Alert = {
  format: 'dropback-alert',
  version: 1,
  id: 'a1b2',
  event: 'backup-failed',
  severity: 'error',
  title: 'backup failed: <no> & [way](https://evil) — ünïcode',
  lines: ['last good: app_20261122T191500Z'],
  at: '2026-11-23T01:02:03.000Z',
  source: { program: 'db-backup', name: 'app', database: 'sqlite:////data/app.db' },
  error: { code: 'dump/failed', message: 'it broke', hint: 'mend it.' },
};
const redactor = new Redactor(['token-123456']);
const signal = new AbortController().signal;
const gone = 'http://no-such-host.invalid/x';

let http: HttpSink;
let smtp: SmtpSink;
beforeAll(async () => {
  [http, smtp] = await Promise.all([HttpSink.start(), SmtpSink.start()]);
});
afterEach(() => {
  http.received.length = 0;
  http.answers.length = 0;
  smtp.hangs = false;
  smtp.hangsAt = undefined;
  smtp.commands.length = 0;
});
afterAll(async () => {
  await http[Symbol.asyncDispose]();
  await smtp[Symbol.asyncDispose]();
});

function webhook(format: WebhookFormat, path = '/hook/token-123456', timeoutMs?: number) {
  const url = path.startsWith('/') ? http.url(path) : path;
  return new Webhook({ url, format, token: 'token-123456' }, redactor, timeoutMs);
}

function email(more: object = {}, timeoutMs?: number) {
  const config = {
    host: '127.0.0.1',
    port: smtp.port,
    secure: false,
    from: 'a@x.org',
    to: ['b@y.org'],
  };
  return new Email({ ...config, ...more }, redactor, timeoutMs);
}

const failure = (channel: AlertChannel, by = signal) =>
  channel.send(alert, by).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('what receivers get', () => {
  const shapes: [WebhookFormat, object][] = [
    ['json', { ...alert, text: expect.stringContaining('dump/failed: it broke') }],
    [
      'slack',
      {
        text: '[app] backup failed: &lt;no&gt; &amp; [way](https://evil) — ünïcode',
        attachments: [{ color: '#c62828', text: expect.stringContaining('What to do: mend it.') }],
      },
    ],
    [
      'discord',
      {
        embeds: [{ title: `[app] ${alert.title}`, timestamp: alert.at, color: 0xc62828 }],
        allowed_mentions: { parse: [] },
      },
    ],
    [
      'teams',
      {
        type: 'message',
        attachments: [
          {
            contentType: 'application/vnd.microsoft.card.adaptive',
            content: {
              body: [
                {
                  text: expect.stringContaining('\\[way\\]\\(https://evil\\)'),
                  color: 'Attention',
                },
                { text: expect.stringContaining('last good') },
                {},
                {},
                {},
              ],
            },
          },
        ],
      },
    ],
  ];
  it.each(shapes)('%s', async (format, shape) => {
    await webhook(format).send(alert, signal);
    expect(http.received[0]).toMatchObject({
      path: '/hook/token-123456',
      headers: { authorization: 'Bearer token-123456', 'content-type': /json/ },
    });
    expect(http.json(0)).toMatchObject(shape);
  });

  it('ntfy: the topic of the address, posted to the server', async () => {
    await webhook('ntfy', '/base/my%20topic').send(alert, signal);
    expect(http.received[0]?.path).toBe('/base');
    expect(http.json(0)).toMatchObject({
      topic: 'my topic',
      priority: 5,
      tags: ['rotating_light'],
    });
  });

  it('what is long, in other scripts, is cut to what each receiver takes, between characters', async () => {
    const lines = Array.from({ length: 20 }, () => '\u{1f4a5}"漢字'.repeat(100));
    const long = { ...alert, title: `x${'\u{1f4a5}'.repeat(99)}`, lines };
    const sent = async (format: WebhookFormat) => {
      await webhook(format, '/topic').send(long, signal);
      return http.received.at(-1)?.body ?? '';
    };
    const ntfy = JSON.parse(await sent('ntfy'));
    expect(Buffer.byteLength(ntfy.message)).toBeLessThanOrEqual(4096);
    expect(Buffer.byteLength(ntfy.message)).toBeGreaterThan(3400);
    expect(Buffer.byteLength(await sent('ntfy'))).toBeLessThanOrEqual(8192);
    expect(Buffer.byteLength(await sent('teams'))).toBeLessThan(28_000);
    const [embed] = JSON.parse(await sent('discord')).embeds;
    expect(embed.title.length).toBeLessThanOrEqual(256);
    expect(embed.description.length).toBeLessThanOrEqual(4096);
    for (const { body } of http.received) {
      expect(JSON.stringify(JSON.parse(body))).not.toMatch(/\\ud[89a-f]|\ufffd/i);
    }
  });

  it('a mail, which says that no robot should answer', async () => {
    await email().send({ ...alert, title: 'it failed' }, signal);
    const mail = smtp.mails.at(-1) ?? '';
    expect(mail).toMatch(/^Subject: \[app\] it failed\r$/m);
    expect(mail).toMatch(/^Message-ID: <a1b2@dropback>\r$/m);
    expect(mail).toMatch(/^Auto-Submitted: auto-generated\r$/m);
    expect(mail).toContain('What to do: mend it.');
    expect(smtp.commands.some((line) => line.includes('TO:<b@y.org>'))).toBe(true);
  });
});

describe('what goes wrong', () => {
  it.each([
    [500, true],
    [429, true],
    [404, true],
    [302, true],
    [400, false],
  ])('HTTP %i: retried later: %s', async (status, retryable) => {
    http.answers.push(status);
    const error = await failure(webhook('json'));
    expect(error).toMatchObject({ code: 'alert/refused', facts: { status }, retryable });
    expect(String((error as Error).message)).not.toContain('token-123456');
    // A redirect is not followed: only one request came.
    expect(http.received).toHaveLength(1);
  });

  it.each<[string, string]>([
    ['ok', '{"ok":false,"error":"no_service"}'],
    ['success', '{"success":false}'],
    ['error', '{"error":{"message":"token-123456 is gone"}}'],
  ])('200 with an error in JSON (%s) is no delivery', async (_name, body) => {
    http.answers.push({ status: 200, body });
    const error = await failure(webhook('json'));
    expect(error).toMatchObject({ code: 'alert/refused', facts: { status: 200 }, retryable: true });
    expect(String((error as Error).message)).not.toContain('token-123456');
    http.answers.push({ status: 200, body: '{"ok":true,"error":null}' });
    expect(await failure(webhook('json'))).toBeUndefined();
  });

  it.each([
    ['7', 7000],
    ['0.3', 300],
    [new Date(Date.now() - 5000).toUTCString(), 0],
    ['999999', 3_600_000],
    ['soon', undefined],
  ])('Retry-After: %s is told', async (value, retryAfterMs) => {
    http.answers.push({ status: 429, headers: { 'retry-after': value } });
    const { facts } = (await failure(webhook('json'))) as { facts: Record<string, unknown> };
    expect(facts['retryAfterMs']).toBe(retryAfterMs);
  });

  it('an answer whose end never comes, or that is endless, counts by its status', async () => {
    http.answers.push({ status: 200, goesOn: 'silent' }, { status: 200, goesOn: 'endless' });
    expect(await failure(webhook('json', '/x', 1500))).toBeUndefined();
    expect(await failure(webhook('json'))).toBeUndefined();
    http.answers.push({ status: 503, goesOn: 'silent' }, { status: 503, goesOn: 'endless' });
    const errors = [await failure(webhook('json', '/x', 1500)), await failure(webhook('json'))];
    for (const error of errors) expect(error).toMatchObject({ facts: { status: 503 } });
    expect(String((errors[1] as Error).message).length).toBeLessThan(300);
  });

  it('a receiver that speaks no TLS is told as that', async () => {
    const plain = http.url('/x').replace('http:', 'https:');
    expect(await failure(webhook('json', plain))).toMatchObject({
      code: 'alert/unreachable',
      message: expect.stringMatching(/could not be reached: .*(ssl|tls|wrong version|packet)/i),
    });
  });

  it.each([/^EHLO/, /^MAIL/, /^DATA/])('a mail server that greets and hangs at %s', async (at) => {
    smtp.hangsAt = at;
    expect(await failure(email({}, 300))).toMatchObject({
      code: 'alert/unreachable',
      message: expect.stringContaining('no answer in time'),
    });
  });

  it.each<[string, () => AlertChannel]>([
    ['a webhook whose name nobody knows', () => webhook('json', gone)],
    ['a webhook that nobody listens for', () => webhook('json', 'http://127.0.0.1:1/x')],
    ['a mail server that nobody knows', () => email({ host: 'no-such-host.invalid' })],
    ['a mail server that is away', () => email({ port: 1 })],
  ])('%s', async (_name, channel) => {
    const error = await failure(channel());
    expect(error).toMatchObject({ code: 'alert/unreachable', retryable: true });
  });

  it('a mail server without TLS never gets the password', async () => {
    const error = await failure(email({ user: 'someone', password: 'token-123456' }));
    expect(error).toMatchObject({ retryable: true });
    expect(smtp.commands).toContain('STARTTLS');
    expect(smtp.commands.filter((line) => /^(AUTH|MAIL)/.test(line))).toEqual([]);
  });

  it('one that hangs is given up in time', async () => {
    http.answers.push('hang');
    smtp.hangs = true;
    const errors = await Promise.all([
      failure(webhook('json', '/x', 300)),
      failure(email({}, 300)),
    ]);
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'alert/unreachable', retryable: true });
    }
  });

  it('an abort ends an attempt', async () => {
    http.answers.push('hang');
    smtp.hangs = true;
    const ended = new AbortController();
    setTimeout(() => ended.abort(), 100);
    const errors = [webhook('json'), email()].map((channel) => failure(channel, ended.signal));
    expect((await Promise.all(errors)).map(isAbort)).toEqual([true, true]);
  });

  it.each([
    ['451 later', true],
    ['535 who are you', true],
    ['554 that is spam', false],
  ])('SMTP %s: retried later: %s', async (answer, retryable) => {
    smtp.answers.push(answer);
    expect(await failure(email())).toMatchObject({ code: 'alert/refused', retryable });
  });
});

describe('whether one could be sent', () => {
  const config: AlertsConfig = { relay: false, least: 'info', repeatMs: 0, secrets: [] };

  it('is seen without sending anything', async () => {
    const webhook = { url: http.url('/hook/token-123456'), format: 'json' } as const;
    const mail = { host: '127.0.0.1', port: smtp.port, secure: false, from: 'a@x.org' };
    const all = {
      ...config,
      webhook,
      email: { ...mail, to: ['b@y.org'] },
      pingUrl: http.url('/p'),
    };
    const lines = await alertChecks(all, { pings: true }, signal);
    expect(lines.map(({ id, status }) => [id, status])).toEqual([
      ['alerts/webhook', 'ok'],
      ['alerts/email', 'ok'],
      ['alerts/ping', 'ok'],
    ]);
    expect(JSON.stringify(lines)).not.toContain('token-123456');
    expect(http.received).toEqual([]);
    expect(smtp.commands.filter((line) => /^(MAIL|RCPT|DATA)/.test(line))).toEqual([]);
    // db-restore pings nobody.
    expect(await alertChecks(all, { pings: false }, signal)).toHaveLength(2);
    expect(await alertChecks(config, { pings: true }, signal)).toEqual([]);
  });

  it('one that is away is a failure, of which the secret path is no part', async () => {
    const url = 'http://127.0.0.1:1/hook/token-123456';
    const away = { ...config, webhook: { url, format: 'slack' }, pingUrl: url } as const;
    const lines = await alertChecks(away, { pings: true }, signal);
    for (const line of lines) {
      expect(line).toMatchObject({ status: 'failed', hint: expect.stringContaining('container') });
      expect(line.message).toMatch(/127\.0\.0\.1:1 could not be reached: .*ECONNREFUSED/);
    }
    expect(lines).toHaveLength(2);
    expect(JSON.stringify(lines)).not.toContain('token-123456');
  });

  it('one that hangs is given up in time, and at once when that is asked', async () => {
    smtp.hangs = true;
    await expect(email({}, 300).probe(signal)).rejects.toMatchObject({ code: 'alert/unreachable' });
    const ended = new AbortController();
    const asked = email().probe(ended.signal);
    ended.abort();
    expect(isAbort(await asked.catch((error: unknown) => error))).toBe(true);
  });

  it('a mail server without TLS never gets the password', async () => {
    const secret = email({ user: 'someone', password: 'token-123456' });
    await expect(secret.probe(signal)).rejects.toMatchObject({ retryable: true });
    expect(smtp.commands.filter((line) => line.startsWith('AUTH'))).toEqual([]);
  });
});

it('descriptions name no secret', () => {
  const all = [
    webhook('json').description,
    email({ user: 'u', password: 'token-123456' }).description,
  ];
  for (const text of all) expect(text).not.toContain('token-123456');
});
