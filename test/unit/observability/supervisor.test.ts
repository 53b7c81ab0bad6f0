import { expect, it } from 'vitest';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { type Member, Supervisor } from '../../../src/core/observability/supervisor.ts';
import { SteppedClock } from '../../support/stepped-clock.ts';
import { testAlert } from '../../support/test-alert.ts';

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

it('begins anew what ended; the others go on, and the report says which it is', async () => {
  const stop = new AbortController();
  const begun = { good: 0, bad: 0 };
  let mended = false;
  const log = silentLogger();
  const health = { live: true, ready: true, status: { state: 'idle' } };
  const members: Member[] = [
    {
      name: 'good',
      log,
      async serve(signal, tell) {
        begun.good += 1;
        tell(() => health);
        await untilAborted(signal);
      },
    },
    {
      name: 'bad',
      log,
      async serve(signal, tell) {
        begun.bad += 1;
        if (!mended) throw new Error('no such disk');
        tell(() => health);
        await untilAborted(signal);
      },
    },
  ];
  const clock = new SteppedClock();
  const supervisor = new Supervisor('db-backup', members, clock);
  const running = supervisor.run(stop.signal);
  await clock.until('a third time', () => begun.bad > 2);
  await expect.poll(() => supervisor.report().live).toBe(false);
  expect(supervisor.report()).toMatchObject({
    live: false,
    notLive: ['bad'],
    notReady: ['bad'],
    status: {
      program: 'db-backup',
      databases: { good: { live: true, state: 'idle' }, bad: { live: false, state: 'ended' } },
    },
  });
  expect(JSON.stringify(supervisor.report())).toContain('no such disk');
  mended = true;
  await clock.until('all live', () => supervisor.report().live);
  expect(begun.good).toBe(1);
  stop.abort();
  await running;
}, 60_000);

it('does not answer for one that begins anew with what the one before told', async () => {
  const stop = new AbortController();
  let begun = 0;
  const member: Member = {
    name: 'a',
    log: silentLogger(),
    async serve(signal, tell) {
      begun += 1;
      if (begun > 1) return untilAborted(signal);
      tell(() => ({ live: true, ready: true, status: { state: 'idle' } }));
      throw new Error('the disk is gone');
    },
  };
  const clock = new SteppedClock();
  const supervisor = new Supervisor('db-backup', [member], clock);
  const running = supervisor.run(stop.signal);
  await clock.until('a second time', () => begun > 1);
  expect(supervisor.report()).toMatchObject({
    ready: false,
    status: { databases: { a: { state: 'starting' } } },
  });
  stop.abort();
  await running;
}, 60_000);

it('is live, but not ready, before a member has told anything', () => {
  const member = { name: 'a', log: silentLogger(), serve: untilAborted };
  expect(new Supervisor('db-restore', [member], new SteppedClock()).report()).toMatchObject({
    live: true,
    ready: false,
    notReady: ['a'],
  });
});

it('offers the alerts of all, and what is public of the one that restores', async () => {
  const log = silentLogger();
  const stop = new AbortController();
  const member = (name: string, state: 'idle' | 'restoring'): Member => ({
    name,
    log,
    async serve(signal, tell) {
      tell(() => ({
        live: true,
        ready: true,
        status: {},
        public: { state },
        alerts: () => [{ ...testAlert, id: name }],
      }));
      await untilAborted(signal);
    },
  });
  const members = [member('a', 'idle'), member('b', 'restoring')];
  const supervisor = new Supervisor('db-restore', members, new SteppedClock());
  const running = supervisor.run(stop.signal);
  await expect.poll(() => supervisor.report().ready).toBe(true);
  const { public: shown, alerts } = supervisor.report();
  expect(shown).toEqual({ state: 'restoring' });
  expect(alerts?.()).toMatchObject([{ id: 'a' }, { id: 'b' }]);
  stop.abort();
  await running;
});
