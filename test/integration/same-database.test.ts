import { expect, test } from 'vitest';
import { parseBackupConfig } from '../../src/core/config/backup.ts';
import { tellSameDatabases } from '../../src/core/engines/same-database.ts';
import type { Logger } from '../../src/core/observability/log.ts';
import { type Clock, systemClock } from '../../src/core/runtime/clock.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { servers } from '../support/testbed.ts';

/** Ten minutes are over at once. */
const clock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 20_000, signal),
};

const addressOf = (url: string, database: string, port?: number) => {
  const found = new URL(url);
  found.pathname = `/${database}`;
  if (port !== undefined) found.port = String(port);
  return found.href;
};

test('one database under two addresses is told, once, as soon as the server can be asked', {
  timeout: 120_000,
}, async () => {
  const [server, another] = servers;
  if (!server || !another) throw new Error('two servers of PostgreSQL are needed');
  await using proxy = await TcpProxy.reserve(server);
  const urls = {
    shop: addressOf(server.url, 'postgres'),
    alias: addressOf(server.url, 'postgres', proxy.port),
    blog: addressOf(server.url, 'template1'),
    elsewhere: addressOf(another.url, 'postgres'),
    gone: addressOf(server.url, 'no_such_database'),
    file: 'sqlite:////a.db',
  };
  const entries = Object.entries(urls).map(([name, DATABASE_URL]) => {
    return { name, database: parseBackupConfig({ DATABASE_URL }).database };
  });
  const told: string[] = [];
  let asked = 0;
  const log = {
    error: (_facts: object, text: string) => told.push(text),
    debug: () => {
      asked += 1;
    },
  } as unknown as Logger;
  const ending = new AbortController();
  const telling = tellSameDatabases(entries, { clock, log }, ending.signal);
  try {
    await expect.poll(() => asked, { timeout: 60_000 }).toBeGreaterThan(1);
    expect(told).toEqual([]);
    await proxy.open();
    await expect
      .poll(() => told, { timeout: 60_000 })
      .toEqual(['alias is the same database as shop']);
  } finally {
    ending.abort();
    await telling;
  }
  expect(told).toHaveLength(1);
});
