import { describe, expect, it } from 'vitest';
import { Application } from '../../../src/core/containers/application.ts';
import { DockerRuntime } from '../../../src/core/containers/docker.ts';
import type { FailedAttempt } from '../../../src/core/containers/start.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { abortedError } from '../../../src/core/runtime/errors.ts';
import { DockerWire, json, WireContainers } from '../../support/docker-wire.ts';

const signal = new AbortController().signal;

/** Waits are over at once, so that "for ever" fits a test; each still lets I/O happen. */
const hastyClock = {
  ...systemClock,
  sleep: (_ms: number, until: AbortSignal) => systemClock.sleep(5, until),
};

async function wired(engine: WireContainers) {
  const wire = new DockerWire(engine.answer);
  await wire.up();
  const timeouts = { callMs: 500, stopMarginMs: 500, settleMs: 500 };
  const runtime = new DockerRuntime(wire.host, systemClock, timeouts);
  const names = [...engine.running.keys()];
  const config = { dockerHost: wire.host, stop: names, start: [], stopGraceSeconds: 0 };
  return { wire, app: new Application(runtime, config, hastyClock, silentLogger(), 'none') };
}

describe('an application while Docker misbehaves', () => {
  it('goes on starting while the socket is away, and reports each attempt', async () => {
    const engine = new WireContainers('web', 'worker');
    const { wire, app } = await wired(engine);
    await using _ = wire;
    await app.stop(['web', 'worker'], { signal });
    await wire.down();
    const attempts: FailedAttempt[] = [];
    const starting = app.start(['web', 'worker'], {
      signal,
      onAttempt: (attempt) => attempts.push(attempt),
    });
    await expect.poll(() => attempts.length, { timeout: 10_000 }).toBeGreaterThan(20);
    expect(attempts[0]).toMatchObject({ container: 'worker', attempt: 1 });
    await wire.up();
    expect((await starting).containers).toEqual([
      { name: 'worker', outcome: 'running' },
      { name: 'web', outcome: 'running' },
    ]);
  });

  it('gives up starting only when it is told to', async () => {
    const { wire, app } = await wired(new WireContainers('web'));
    await using _ = wire;
    await wire.down();
    const ending = new AbortController();
    const attempts: FailedAttempt[] = [];
    const starting = app.start(['web'], {
      signal: ending.signal,
      onAttempt: (attempt) => attempts.push(attempt),
    });
    const verdict = expect(starting).rejects.toMatchObject({ code: 'run/aborted' });
    await expect.poll(() => attempts.length, { timeout: 10_000 }).toBeGreaterThan(5);
    ending.abort(abortedError(ending.signal));
    await verdict;
  });

  it('gets over a hiccup of the socket while stopping, not over an outage', async () => {
    const engine = new WireContainers('web');
    const { wire, app } = await wired(engine);
    await using _ = wire;
    let hiccups = 2;
    wire.answer = (request, response) => {
      if (hiccups-- > 0) request.socket.destroy();
      else engine.answer(request, response);
    };
    await app.stop(['web'], { signal });
    expect(engine.running.get('web')).toBe(false);
    await wire.down();
    await expect(app.stop(['web'], { signal })).rejects.toMatchObject({
      code: 'containers/unreachable',
    });
  });

  it('resolves exact names where a proxy refuses the list, and says so for a wrong one', async () => {
    const engine = new WireContainers('web');
    const { wire, app } = await wired(engine);
    await using _ = wire;
    wire.answer = (request, response) => {
      if (request.url?.startsWith('/containers/json')) json(response, 403, 'forbidden');
      else engine.answer(request, response);
    };
    expect(await app.resolve(signal)).toEqual({ stop: ['web'], start: [] });
    expect(wire.requests.some((line) => line.includes('/containers/json'))).toBe(false);
    engine.running.delete('web');
    await expect(app.resolve(signal)).rejects.toMatchObject({
      code: 'containers/not-found',
      hint: expect.stringContaining('could not be asked'),
    });
  });

  it('says stop-failed for one that something keeps starting', async () => {
    const engine = new WireContainers('web');
    const { wire, app } = await wired(engine);
    await using _ = wire;
    let inspections = 0;
    wire.answer = (request, response) => {
      // Seen stopped once after each stop, running again at the next look.
      if (request.url?.endsWith('/json') && ++inspections % 3 === 0)
        engine.running.set('web', true);
      engine.answer(request, response);
    };
    await expect(app.stop(['web'], { signal })).rejects.toMatchObject({
      code: 'containers/stop-failed',
      message: expect.stringContaining('coming back'),
    });
  });
});
