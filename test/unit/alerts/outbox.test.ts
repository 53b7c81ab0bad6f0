import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FloodGate } from '../../../src/core/alerts/flood.ts';
import { AlertOutbox, type OutboxOptions } from '../../../src/core/alerts/outbox.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import type { Clock } from '../../../src/core/runtime/clock.ts';
import { Redactor } from '../../../src/core/runtime/redact.ts';

let folder: string;
let time: number;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-test-'));
  time = Date.parse('2026-11-23T00:00:00Z');
});
const opened: AlertOutbox[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((outbox) => outbox.saved()));
  await rm(folder, { recursive: true });
});

const clock: Clock = {
  now: () => new Date(time),
  monotonic: () => time,
  sleep: async () => {},
};
const HOUR = 3_600_000;

async function open(more: Partial<OutboxOptions> = {}): Promise<AlertOutbox> {
  const outbox = notLoaded(more);
  await outbox.load();
  return outbox;
}

function notLoaded(more: Partial<OutboxOptions> = {}): AlertOutbox {
  const outbox = new AlertOutbox({
    file: join(folder, 'alerts.json'),
    source: { program: 'db-backup', name: 'app', database: 'postgresql://db/app' },
    receivers: ['webhook', 'email'],
    least: 'info',
    repeatMs: 24 * HOUR,
    flood: new FloodGate(),
    redactor: new Redactor(['s3cr3t-pw', 'pw']),
    clock,
    log: silentLogger(),
    ...more,
  });
  opened.push(outbox);
  return outbox;
}

const failed = (code: string) =>
  ({
    event: 'backup-failed',
    title: `failed: ${code}`,
    error: { code, message: 'password s3cr3t-pw\nis wrong', hint: 'mend it' },
  }) as const;
const recovered = { event: 'backup-recovered', title: 'works again' } as const;
const titles = (outbox: AlertOutbox, who = 'webhook') =>
  outbox.waiting(who).map(({ title }) => title);

test('a trouble is told when it begins, changes, lasts for a day, and ends; also over restarts', async () => {
  await (await open()).raise('backup', failed('a'));
  const outbox = await open();
  await outbox.raise('backup', failed('a'));
  expect(titles(outbox)).toEqual(['failed: a']);
  await outbox.raise('backup', failed('b'));
  time += 23 * HOUR;
  await outbox.raise('backup', failed('b'));
  expect(titles(outbox)).toEqual(['failed: a', 'failed: b']);
  time += HOUR;
  await outbox.raise('backup', failed('b'));
  const next = await open();
  await next.clear('backup', recovered);
  await next.clear('backup', recovered);
  expect(titles(next).slice(-2)).toEqual(['failed: b', 'works again']);
});

test('what was never told does not end', async () => {
  const outbox = await open();
  await outbox.clear('backup', recovered);
  expect(outbox.size).toBe(0);
});

test('each receiver takes an alert once; what was taken is not sent again after a restart', async () => {
  const outbox = await open();
  await outbox.tell({ event: 'restore-done', title: 'one', id: 'r.ended' });
  await outbox.tell({ event: 'restore-done', title: 'two' });
  await outbox.settle(outbox.next('webhook')?.id ?? '', 'webhook');
  const next = await open();
  expect(titles(next)).toEqual(['two']);
  expect(titles(next, 'email')).toEqual(['one', 'two']);
  await next.settle('r.ended', 'email');
  // Known again, as a restarted daemon tells it.
  await next.tell({ event: 'restore-done', title: 'one', id: 'r.ended' });
  expect(titles(next, 'email')).toEqual(['two']);
});

test('no secret and no control character is in it, nor in its file', async () => {
  const outbox = await open();
  await outbox.tell({ ...failed('x'), title: 'a s3cr3t-pw\u001b[31m', lines: ['b\r\ns3cr3t-pw'] });
  const [alert] = outbox.waiting('webhook');
  expect(alert).toMatchObject({ title: 'a *** [31m', lines: ['b ***'] });
  expect(alert?.error?.message).toBe('password *** is wrong');
  expect(await readFile(join(folder, 'alerts.json'), 'utf8')).not.toContain('s3cr3t-pw');
});

test('ALERT_LEVEL keeps what is less urgent, save the end of what was told', async () => {
  const outbox = await open({ least: 'error' });
  await outbox.tell({ event: 'restore-started', title: 'info' });
  await outbox.raise('size', { event: 'backup-shrunk', title: 'warning' });
  await outbox.raise('backup', failed('a'));
  await outbox.clear('backup', recovered);
  expect(titles(outbox)).toEqual(['failed: a', 'works again']);
});

test('a flood becomes one message', async () => {
  const outbox = await open();
  for (let i = 0; i < 500; i++) await outbox.tell({ event: 'restore-failed', title: `${i}` });
  await outbox.tell({ event: 'restore-done', title: 'another event' });
  expect(titles(outbox)).toHaveLength(11);
  time += 600_000;
  outbox.waiting('webhook');
  expect(titles(outbox).at(-1)).toBe(
    '490 more alerts of the kind restore-failed within ten minutes',
  );
  await outbox.tell({ event: 'restore-failed', title: 'later' });
  expect(titles(outbox).at(-1)).toBe('later');
});

test('what a flood had held back is told by the next process, once, when its ten minutes are over', async () => {
  const first = await open();
  for (let i = 0; i < 30; i++) await first.tell({ event: 'restore-failed', title: `${i}` });
  await first.saved();
  time += 300_000;
  const next = await open();
  await next.tell({ event: 'restore-failed', title: 'one more' });
  expect(titles(next)).toHaveLength(10);
  time += 300_000;
  next.waiting('webhook');
  const more = '21 more alerts of the kind restore-failed within ten minutes';
  expect(titles(next).at(-1)).toBe(more);
  await next.saved();
  time += 3 * HOUR;
  const last = await open();
  expect(titles(last).filter((title) => title === more)).toHaveLength(1);
});

test('a flood of many databases that reach the same people is one message, which names them', async () => {
  const flood = new FloodGate();
  const outboxes = await Promise.all(
    Array.from({ length: 30 }, (_, i) => {
      const name = `d${i}`;
      const source = { program: 'db-backup', name, database: `sqlite:///${i}` } as const;
      return open({ source, flood, file: join(folder, `${name}.json`) });
    }),
  );
  for (const outbox of outboxes) await outbox.raise('backup', failed('away'));
  const all = () => outboxes.flatMap((outbox) => outbox.waiting('webhook'));
  expect(all()).toHaveLength(10);
  time += 600_000;
  all();
  await expect.poll(() => all().length).toBe(11);
  const [more] = all().filter(({ event }) => event === 'more-alerts');
  expect(more).toMatchObject({
    title: '20 more alerts of the kind backup-failed within ten minutes, of 20 databases',
    lines: [
      'd10, d11, d12, d13, d14, d15, d16, d17, d18, d19',
      expect.stringMatching(/^d20, /),
      'the log has them all',
    ],
  });
});

test('that alerts were given up is told when somebody takes one again, also by the next process', async () => {
  const first = await open({ receivers: ['email'] });
  for (let i = 0; i < 108; i++) {
    await first.tell({ event: 'restore-done', title: `${i}` });
    time += 120_000;
  }
  const outbox = await open({ receivers: ['email'] });
  await outbox.settle(outbox.next('email')?.id ?? '', 'email');
  expect(titles(outbox, 'email').at(-1)).toMatch(/^8 alerts were given up/);
  // What another daemon fetches is never settled, and nobody misses it.
  const offered = await open({ receivers: ['relay'], file: join(folder, 'relay.json') });
  await offered.tell({ event: 'restore-done', title: 'one' });
  time += 25 * HOUR;
  await offered.settle('unknown', 'relay');
  expect(offered.size).toBe(1);
  expect(offered.waiting('relay')).toEqual([]);
});

test('after a day, or behind a hundred newer ones, it is given up', async () => {
  const outbox = await open({ receivers: ['email'] });
  for (let i = 0; i < 150; i++) {
    await outbox.tell({ event: 'restore-done', title: `${i}` });
    time += 120_000;
  }
  expect(titles(outbox, 'email')).toHaveLength(100);
  expect(titles(outbox, 'email').at(-1)).toBe('149');
  time += 24 * HOUR;
  expect(titles(outbox, 'email')).toEqual([]);
});

test('a receiver that is no longer configured is not waited for', async () => {
  await (await open()).tell({ event: 'restore-done', title: 'one' });
  const outbox = await open({ receivers: ['email'] });
  await outbox.settle(outbox.next('email')?.id ?? '', 'email');
  expect(outbox.size).toBe(0);
});

test('a disk that can not be written, and a file that is damaged, cost no alert', async () => {
  const outbox = await open({ file: '/proc/no/alerts.json' });
  await outbox.tell({ event: 'restore-done', title: 'one' });
  expect(titles(outbox)).toEqual(['one']);
  await writeFile(join(folder, 'alerts.json'), '{"version":1,"pen');
  const next = await open();
  await next.raise('backup', failed('a'));
  expect(titles(await open())).toEqual(['failed: a']);
});

test('an alert that is handed on is told once, as it is', async () => {
  const there = await open({ receivers: ['relay'], file: join(folder, 'there.json') });
  await there.tell({ event: 'restore-failed', title: 'from there' });
  const here = await open();
  for (const alert of there.waiting('relay')) await here.accept(alert);
  await here.settle(here.next('webhook')?.id ?? '', 'webhook');
  const next = await open();
  for (const alert of there.waiting('relay')) await next.accept(alert);
  expect(titles(next)).toEqual([]);
  expect(next.waiting('email')).toEqual(there.waiting('relay'));
});

test('a daemon that waits for another leaves its file alone', async () => {
  const first = await open();
  await first.tell(failed('a'));
  const standby = notLoaded();
  await standby.tell(recovered);
  await first.tell(failed('b'));
  expect((await open()).size).toBe(2);
  await standby.load();
  expect(standby.waiting('webhook').map(({ title }) => title)).toEqual([
    'failed: a',
    'failed: b',
    'works again',
  ]);
  expect((await open()).size).toBe(3);
});

test('an id of any form costs nothing of what is noted, nor is it told twice', async () => {
  const news = { ...recovered, id: 'doubt-app_1-2026-11-23T00:00:00.000Z' };
  const first = await open();
  await first.raise('uploads', failed('a/b'));
  await first.tell(news);
  const next = await open();
  await next.tell(news);
  expect(titles(next)).toEqual(['failed: a/b', 'works again']);
  expect(next.standing()).toEqual(['uploads']);
});
