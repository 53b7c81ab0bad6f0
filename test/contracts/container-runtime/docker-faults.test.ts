import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { DockerRuntime } from '../../../src/core/containers/docker.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { DockerWire, inspectAnswer, json, WireContainers } from '../../support/docker-wire.ts';

const signal = new AbortController().signal;
const quick = { callMs: 300, stopMarginMs: 300, settleMs: 300 };

async function wired(answer: ConstructorParameters<typeof DockerWire>[0]) {
  const wire = new DockerWire(answer);
  await wire.up();
  return { wire, runtime: new DockerRuntime(wire.host, systemClock, quick) };
}

describe('Docker with faults on the wire', () => {
  it('says unreachable, retryable, without a socket and without an engine behind it', async () => {
    const { wire, runtime } = await wired((_, response) => json(response, 502, 'bad gateway'));
    await using _ = wire;
    const expected = { code: 'containers/unreachable', retryable: true };
    await expect(runtime.inspect('web', signal)).rejects.toMatchObject(expected);
    await wire.down();
    await expect(runtime.inspect('web', signal)).rejects.toMatchObject(expected);
    await expect(runtime.list(undefined, signal)).rejects.toMatchObject(expected);
    const checks = await runtime.checks(signal);
    expect(checks.map(({ status }) => status)).toEqual(['failed', 'failed']);
  });

  it('ends a call that hangs, whether before the answer or in the middle of it', async () => {
    const { wire, runtime } = await wired(() => {});
    await using _ = wire;
    const expected = { code: 'containers/unreachable', retryable: true };
    await expect(runtime.inspect('web', signal)).rejects.toMatchObject(expected);
    wire.answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"Id":');
    };
    await expect(runtime.inspect('web', signal)).rejects.toMatchObject(expected);
    wire.answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"Id":', () => response.destroy());
    };
    await expect(runtime.inspect('web', signal)).rejects.toMatchObject(expected);
  });

  it('ends a stop that hangs after the grace, and sees later that it worked', async () => {
    const engine = new WireContainers('web');
    const { wire, runtime } = await wired((request, response) => {
      if (!request.url?.includes('/stop')) engine.answer(request, response);
    });
    await using _ = wire;
    await expect(runtime.stop('web', 0, signal)).rejects.toMatchObject({
      code: 'containers/unreachable',
    });
    engine.running.set('web', false);
    await runtime.stop('web', 0, signal);
    expect(wire.requests.filter((line) => line.includes('/stop'))).toEqual([
      'POST /containers/web/stop?t=0',
    ]);
  });

  it.each([
    { times: 1, stops: 2 },
    { times: 99, stops: 4 },
  ])(
    'stops one again that somebody starts between the stop and the look: $times',
    async (case_) => {
      let started = 0;
      let isUp = true;
      const { wire, runtime } = await wired((request, response) => {
        if (!request.url?.includes('/stop')) {
          return json(response, 200, inspectAnswer('web', isUp, `2026-11-22T00:00:0${started}Z`));
        }
        isUp = started < case_.times;
        if (isUp) started++;
        response.writeHead(204).end();
      });
      await using _ = wire;
      const stopping = runtime.stop('web', 0, signal);
      if (case_.times === 1) await stopping;
      else {
        await expect(stopping).rejects.toMatchObject({
          code: 'containers/stop-failed',
          message: 'stopped containers keep coming back: web',
        });
      }
      expect(wire.requests.filter((line) => line.includes('/stop'))).toHaveLength(case_.stops);
    },
  );

  it('says stop-failed where the engine could not kill, or says yes and nothing happens', async () => {
    const engine = new WireContainers('web');
    const { wire, runtime } = await wired((request, response) => {
      if (!request.url?.includes('/stop')) return engine.answer(request, response);
      json(response, 500, { message: 'cannot kill container: tried to kill container' });
    });
    await using _ = wire;
    const expected = { code: 'containers/stop-failed', retryable: false };
    await expect(runtime.stop('web', 0, signal)).rejects.toMatchObject(expected);
    wire.answer = (request, response) => {
      if (!request.url?.includes('/stop')) return engine.answer(request, response);
      response.writeHead(204).end();
    };
    await expect(runtime.stop('web', 0, signal)).rejects.toMatchObject({
      ...expected,
      message: expect.stringContaining('still running'),
    });
  });

  it('takes 304 for done', async () => {
    const engine = new WireContainers('web');
    const { wire, runtime } = await wired((request, response) => {
      engine.answer(request, response);
    });
    await using _ = wire;
    wire.answer = (request, response) => {
      if (!request.url?.includes('/stop')) return engine.answer(request, response);
      engine.running.set('web', false);
      response.writeHead(304).end();
    };
    await runtime.stop('web', 0, signal);
    wire.answer = (request, response) => {
      if (!request.url?.includes('/start')) return engine.answer(request, response);
      engine.running.set('web', true);
      response.writeHead(304).end();
    };
    await runtime.start('web', signal);
  });

  it('says refused where a filtering proxy forbids it, not retryable', async () => {
    const { wire, runtime } = await wired((request, response) => {
      if (request.method === 'GET' && request.url?.includes('/web/')) {
        return json(response, 200, inspectAnswer('web', true));
      }
      response.writeHead(403, { 'content-type': 'text/html' }).end('<h1>403 Forbidden</h1>');
    });
    await using _ = wire;
    const expected = { code: 'containers/refused', retryable: false };
    await expect(runtime.stop('web', 0, signal)).rejects.toMatchObject(expected);
    await expect(runtime.list(undefined, signal)).rejects.toMatchObject(expected);
    const [, rights] = await runtime.checks(signal);
    expect(rights).toMatchObject({ id: 'containers/rights', status: 'warning' });
  });

  it('follows no redirect', async () => {
    const { wire, runtime } = await wired((_, response) => {
      response.writeHead(301, { location: 'http://elsewhere.invalid/containers/web/json' }).end();
    });
    await using _ = wire;
    await expect(runtime.inspect('web', signal)).rejects.toMatchObject({
      code: 'containers/unreachable',
    });
    expect(wire.requests).toHaveLength(1);
  });

  it('speaks TCP as well', async () => {
    const engine = new WireContainers('web');
    const server = createServer(engine.answer);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const runtime = new DockerRuntime(`tcp://127.0.0.1:${port}`, systemClock, quick);
    await runtime.stop('web', 0, signal);
    expect(engine.running.get('web')).toBe(false);
    await new Promise((resolve) => server.close(resolve));
    await expect(runtime.inspect('web', signal)).rejects.toMatchObject({
      code: 'containers/unreachable',
    });
  });
});
