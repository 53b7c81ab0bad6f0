import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Alerting, openAlerts } from '../../../src/core/alerts/open-alerts.ts';
import { Pings } from '../../../src/core/alerts/pings.ts';
import { HealthServer } from '../../../src/core/observability/health-server.ts';
import { errorForLog, silentLogger } from '../../../src/core/observability/log.ts';
import { type Clock, systemClock } from '../../../src/core/runtime/clock.ts';
import { Redactor } from '../../../src/core/runtime/redact.ts';
import { HttpSink } from '../../support/http-sink.ts';
import { SmtpSink } from '../../support/smtp-sink.ts';

let folder: string;
let http: HttpSink;
let smtp: SmtpSink;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
  [http, smtp] = await Promise.all([HttpSink.start(), SmtpSink.start()]);
});
afterEach(async () => {
  await http[Symbol.asyncDispose]();
  await smtp[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Waits as the real one, but a thousandth of the time. */
const clock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 1000, signal),
};
const log = silentLogger();

async function open(
  more: object = {},
  file = 'alerts.json',
  told = log,
  time = clock,
): Promise<Alerting> {
  const config = {
    webhook: { url: http.url('/hook'), format: 'json' as const },
    email: { host: '127.0.0.1', port: smtp.port, secure: false, from: 'a@x.org', to: ['b@y.org'] },
    relay: false,
    least: 'info' as const,
    repeatMs: 0,
    secrets: [],
    ...more,
  };
  const source = { program: 'db-backup', name: 'app', database: 'sqlite:///a.db' } as const;
  const alerting = openAlerts(config, { file: join(folder, file), source, clock: time, log: told });
  await alerting.begin();
  return alerting;
}

const news = (title: string) => ({ event: 'restore-done', title }) as const;
const posted = () => http.received.map(({ body }) => JSON.parse(body).title);

test('what fails is tried again, in order, and holds up no other channel', async () => {
  await using alerting = await open();
  http.answers.push(500, 503, 302);
  smtp.hangs = true;
  await alerting.alerts.tell(news('one'));
  await alerting.alerts.tell(news('two'));
  await expect.poll(posted, { timeout: 20_000 }).toEqual(['one', 'one', 'one', 'one', 'two']);
  const ids = http.received.map(({ body }) => JSON.parse(body).id);
  expect(new Set(ids).size).toBe(2);
  // Only the mail server has not taken them.
  expect(alerting.status()).toMatchObject({ waiting: 2 });
  smtp.hangs = false;
  await smtp[Symbol.asyncDispose]();
});

test('a receiver that asks to be left alone for a while is', async () => {
  const waits: number[] = [];
  const noted: Clock = {
    ...clock,
    sleep: (ms, signal) => {
      waits.push(ms);
      return clock.sleep(ms, signal);
    },
  };
  http.answers.push({ status: 429, headers: { 'retry-after': '1234' } }, 503);
  await using alerting = await open({ email: undefined }, 'alerts.json', log, noted);
  await alerting.alerts.tell(news('one'));
  await expect.poll(posted, { timeout: 20_000 }).toEqual(['one', 'one', 'one']);
  expect(waits).toContain(1_234_000);
  expect(waits.filter((ms) => ms > 60_000)).toHaveLength(1);
});

test('an alert that is refused for ever is left out; the next one comes', async () => {
  await using alerting = await open({ email: undefined });
  http.answers.push(400);
  await alerting.alerts.tell(news('bad'));
  await alerting.alerts.tell(news('good'));
  await expect.poll(posted, { timeout: 20_000 }).toEqual(['bad', 'good']);
  await expect.poll(() => alerting.status()?.waiting, { timeout: 20_000 }).toBe(0);
});

test('telling waits for no receiver; what a hanging one did not take is sent by the next process', async () => {
  http.always = 'hang';
  const alerting = await open({ email: undefined });
  for (let i = 0; i < 5; i++) await alerting.alerts.tell(news(`${i}`));
  await expect.poll(posted, { timeout: 20_000 }).toEqual(['0']);
  // The end of the process, without its grace.
  http.always = 503;
  http.endConnections();
  await alerting[Symbol.asyncDispose]();
  http.always = undefined;
  http.received.length = 0;
  await using next = await open({ email: undefined });
  await expect.poll(posted, { timeout: 20_000 }).toEqual(['0', '1', '2', '3', '4']);
  await expect.poll(() => next.status()?.waiting, { timeout: 20_000 }).toBe(0);
});

test('a process that ends sends what it has told last', async () => {
  const alerting = await open();
  await alerting.alerts.tell(news('the last one'));
  await alerting[Symbol.asyncDispose]();
  expect(posted()).toEqual(['the last one']);
  expect(smtp.mails).toHaveLength(1);
});

test('the path of an address, which is its secret, is told by nobody whose receiver repeats it', async () => {
  const lines: string[] = [];
  const told = pino(
    { serializers: { error: errorForLog } },
    { write: (line: string) => lines.push(line) },
  );
  http.always = 404;
  const url = http.url('/hooks/s3cr3t-p%2Fth?key=s3cr3t-k%2By&short=1');
  const more = { webhook: { url, format: 'json' as const }, email: undefined };
  await using alerting = await open(more, 'alerts.json', told);
  await alerting.alerts.tell(news('one'));
  const pings = new Pings(url, new Redactor([]), { clock, log: told });
  pings.succeeded('');
  const logged = (text: string) => lines.some((line) => line.includes(text));
  const isRefused = () => logged('an alert is not sent yet') && logged('a ping was not delivered');
  await expect.poll(isRefused, { timeout: 20_000 }).toBe(true);
  pings.failed(lines.join(''));
  const isPinged = () => http.received.some(({ body }) => body.includes('a ping was'));
  await expect.poll(isPinged, { timeout: 20_000 }).toBe(true);
  const seen = JSON.stringify([alerting.status(), lines, http.received.map(({ body }) => body)]);
  expect(seen).toMatch(/Cannot POST \*\*\*/);
  expect(seen).not.toContain('s3cr3t');
  await pings.settle(AbortSignal.abort());
});

test('a daemon without a way out: another one fetches its alerts and sends them', async () => {
  const nothing = { webhook: undefined, email: undefined };
  await using inside = await open({ ...nothing, relay: true }, 'inside.json');
  await using health = await HealthServer.start({
    port: 0,
    host: '127.0.0.1',
    log,
    report: () => ({ live: true, ready: true, status: {}, alerts: () => inside.relayed?.() ?? [] }),
  });
  const relayUrl = `http://127.0.0.1:${health.port}`;
  await inside.alerts.tell(news('before'));
  {
    await using _outside = await open({ email: undefined, relayUrl });
    await inside.alerts.tell(news('after'));
    await expect.poll(posted, { timeout: 20_000 }).toEqual(['before', 'after']);
  }
  await using _again = await open({ email: undefined, relayUrl });
  await inside.alerts.tell(news('third'));
  await expect.poll(posted, { timeout: 20_000 }).toEqual(['before', 'after', 'third']);
});

test('pings: start, then success or failure with the tail of the log, without secrets', async () => {
  const url = `${http.url('/ping/uuid')}?create=1`;
  const pings = new Pings(url, new Redactor(['s3cr3t-pw']), { clock, log });
  const late = new AbortController().signal;
  pings.started();
  await pings.settle(late);
  pings.succeeded(`${'x'.repeat(20_000)} s3cr3t-pw the end`);
  await pings.settle(late);
  pings.started();
  await pings.settle(late);
  http.answers.push(500, 404);
  pings.failed('it broke');
  await pings.settle(late);
  const paths = http.received.map(({ path }) => path.replace(/rid=[0-9a-f-]{36}$/, 'rid'));
  expect(paths).toEqual([
    '/ping/uuid/start?create=1&rid',
    '/ping/uuid?create=1&rid',
    '/ping/uuid/start?create=1&rid',
    ...Array(3).fill('/ping/uuid/fail?create=1&rid'),
  ]);
  expect(http.received[1]?.body).toMatch(/^x+ \*\*\* the end$/);
  expect(http.received[1]?.body.length).toBeLessThanOrEqual(10_000);
  expect(http.received.at(-1)?.body).toBe('it broke');
  const runs = http.received.map(({ path }) => path.split('rid=')[1]);
  expect(new Set(runs).size).toBe(2);
});

test('a ping that hangs holds nothing up, and gives way to the end of the process', async () => {
  http.always = 'hang';
  const pings = new Pings(http.url('/p'), new Redactor([]), { clock, log });
  pings.started();
  pings.succeeded('');
  await expect.poll(() => http.received.length, { timeout: 20_000 }).toBe(1);
  const late = new AbortController();
  const settled = pings.settle(late.signal);
  late.abort();
  await settled;
  expect(http.received).toHaveLength(1);
});
