import { expect, test } from 'vitest';
import type { Alert, News } from '../../../src/core/alerts/alert.ts';
import { MOST_OFFERED_BYTES, offerOf } from '../../../src/core/alerts/offer.ts';
import { AlertRelay } from '../../../src/core/alerts/relay.ts';
import { RelayDesk, type RelayTarget } from '../../../src/core/alerts/relay-desk.ts';
import { HealthServer } from '../../../src/core/observability/health-server.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { testAlert } from '../../support/test-alert.ts';

const log = silentLogger();
const POLL = { timeout: 20_000 };

/** The n-th of a row, a second after the one before. */
function numbered(n: number, name = 'app', lines: string[] = []): Alert {
  const at = new Date(Date.UTC(2026, 10, 23) + n * 1000).toISOString();
  return { ...testAlert, id: `alert-${n}`, at, lines, source: { ...testAlert.source, name } };
}

const row = (from: number, to: number, lines?: string[]) =>
  Array.from({ length: to - from }, (_, i) => numbered(from + i, 'app', lines));

class Taken implements RelayTarget {
  readonly ids: string[] = [];
  readonly news: string[] = [];
  knows(id: string) {
    return this.ids.includes(id);
  }
  async accept({ id }: Alert) {
    if (!this.knows(id)) this.ids.push(id);
  }
  async tell({ title }: News) {
    this.news.push(title);
  }
}

async function relaying(all: { alerts: Alert[] }, target: RelayTarget) {
  const resources = new AsyncDisposableStack();
  const report = () => ({ live: true, ready: true, status: {}, alerts: () => all.alerts });
  const health = resources.use(
    await HealthServer.start({ port: 0, host: '127.0.0.1', report, log }),
  );
  const relay = new AlertRelay(`http://127.0.0.1:${health.port}`, target, {
    clock: systemClock,
    log,
    everyMs: 5,
  });
  const ending = new AbortController();
  const running = relay.run(ending.signal);
  resources.defer(async () => {
    ending.abort();
    await running;
  });
  return resources;
}

test('more than fit into an answer: the newest are handed on, and that others were not is told once', async () => {
  const target = new Taken();
  const all = { alerts: row(0, 900).reverse() };
  await using _relay = await relaying(all, target);
  await expect.poll(() => target.news, POLL).toHaveLength(1);
  expect(target.news).toEqual(['700 alerts of db-restore are not handed on: too many at a time']);
  expect(target.ids).toEqual(row(700, 900).map(({ id }) => id));
  // As it goes on: what was on offer at the last look moves out of sight, and is not missed.
  all.alerts = row(0, 950);
  await expect.poll(() => target.ids, POLL).toHaveLength(250);
  all.alerts = row(0, 1000);
  await expect.poll(() => target.ids, POLL).toHaveLength(300);
  expect(target.news).toHaveLength(1);
  // More than an answer holds between two looks.
  all.alerts = row(0, 1300);
  await expect.poll(() => target.news, POLL).toHaveLength(2);
});

test('an answer is bounded in bytes, and the other side takes it', async () => {
  const target = new Taken();
  const alerts = row(
    0,
    200,
    Array.from({ length: 20 }, () => 'ä'.repeat(500)),
  );
  const offer = offerOf(alerts);
  expect(Buffer.byteLength(JSON.stringify(offer))).toBeLessThan(MOST_OFFERED_BYTES + 1000);
  expect(offer.alerts.at(-1)?.id).toBe('alert-199');
  expect(offer.leftOut).toBe(200 - offer.alerts.length);
  await using _relay = await relaying({ alerts }, target);
  await expect.poll(() => target.ids, POLL).toEqual(offer.alerts.map(({ id }) => id));
});

test('each alert goes to the people of its database, else to the first that has any', async () => {
  const desk = new RelayDesk(['shop', 'blog']);
  const [shop, blog, nobody] = [new Taken(), new Taken(), new Taken()];
  desk.join('without', nobody);
  desk.join('shop', shop);
  const leave = desk.join('blog', blog);
  const all = { alerts: [numbered(1, 'blog'), numbered(2, 'without'), numbered(3, 'gone')] };
  await using _relay = await relaying(all, desk);
  await expect.poll(() => shop.ids, POLL).toEqual(['alert-2', 'alert-3']);
  expect(blog.ids).toEqual(['alert-1']);
  // Its daemon begins anew: what comes meanwhile waits for it.
  leave();
  all.alerts = [...all.alerts, numbered(4, 'blog'), numbered(5, 'shop')];
  await expect.poll(() => shop.ids, POLL).toContain('alert-5');
  desk.join('blog', blog);
  await expect.poll(() => blog.ids, POLL).toEqual(['alert-1', 'alert-4']);
  expect(shop.ids).not.toContain('alert-4');
  expect(nobody.ids).toEqual([]);
});
