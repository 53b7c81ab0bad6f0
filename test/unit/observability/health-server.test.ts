import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type HealthReport, HealthServer } from '../../../src/core/observability/health-server.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';

const open: HealthServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server[Symbol.asyncDispose]();
});

async function serve(
  report: () => HealthReport | Promise<HealthReport>,
  more: { reportOf?: (name: string) => HealthReport | undefined } = {},
) {
  const log = silentLogger();
  const server = await HealthServer.start({ port: 0, host: '127.0.0.1', report, log, ...more });
  open.push(server);
  return {
    server,
    get: async (path: string, method = 'GET') => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
      const body = method === 'HEAD' ? undefined : ((await response.json()) as object);
      return { status: response.status, body };
    },
  };
}

const well = { live: true, ready: true, status: { state: 'idle' } };

test('answers with what the report says, each time anew', async () => {
  let report: HealthReport = { ...well, public: { state: 'idle' } };
  const { get } = await serve(() => report);
  expect(await get('/healthz')).toEqual({ status: 200, body: { live: true } });
  expect(await get('/readyz?x=1')).toEqual({ status: 200, body: { ready: true } });
  expect((await get('/status')).body).toEqual({ live: true, ready: true, state: 'idle' });
  expect((await get('/public')).body).toEqual({ state: 'idle' });
  report = { ...well, live: false, ready: false };
  expect((await get('/healthz')).status).toBe(503);
  expect((await get('/readyz')).status).toBe(503);
  expect((await get('/status')).status).toBe(200);
  expect((await get('/public')).body).toEqual({});
});

test('a report that throws is not live, and the server goes on', async () => {
  let broken = true;
  const { get } = await serve(async () => {
    if (broken) throw new Error('no idea');
    return well;
  });
  expect((await get('/healthz')).status).toBe(503);
  expect((await get('/status')).body).toEqual({ live: false, ready: false, error: 'no idea' });
  broken = false;
  expect((await get('/healthz')).status).toBe(200);
});

test('of several databases one alone can be asked for, without a look at the others', async () => {
  const all = () => {
    throw new Error('not asked for');
  };
  const { get } = await serve(all, {
    reportOf(name) {
      if (name === 'broken') throw new Error('no idea');
      return name === 'a b' ? well : undefined;
    },
  });
  const one = await get('/status?database=a%20b');
  expect(one).toEqual({ status: 200, body: { live: true, ready: true, state: 'idle' } });
  expect((await get('/status?database=b')).status).toBe(404);
  const broken = await get('/status?database=broken');
  expect(broken.body).toEqual({ live: false, ready: false, error: 'no idea' });
  // The only database of a daemon is meant whatever it is called.
  const single = await serve(() => well);
  expect((await single.get('/status?database=x')).status).toBe(200);
});

test('other paths and methods are refused', async () => {
  const { get } = await serve(() => well);
  expect((await get('/')).status).toBe(404);
  expect((await get('/status/../secret')).status).toBe(404);
  expect((await get('/healthz', 'POST')).status).toBe(405);
  expect((await get('/healthz', 'HEAD')).status).toBe(200);
});

test('a taken port is a clear error', async () => {
  const { server } = await serve(() => well);
  const again = HealthServer.start({
    port: server.port,
    host: '127.0.0.1',
    report: () => well,
    log: silentLogger(),
  });
  await expect(again).rejects.toMatchObject({ code: 'health/port-in-use' });
});

test('disposal ends a connection that sends nothing', async () => {
  const { server } = await serve(() => well);
  const socket = connect(server.port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await open.splice(0)[0]?.[Symbol.asyncDispose]();
  await closed;
});
