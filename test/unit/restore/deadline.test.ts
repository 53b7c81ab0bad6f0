import { expect, test } from 'vitest';
import type { Clock } from '../../../src/core/runtime/clock.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { abortedError, DropbackError } from '../../../src/core/runtime/errors.ts';
import { plausibleMs, withDeadline } from '../../../src/restore/deadline.ts';

/** A clock whose sleep ends when the test says so. */
class HandClock implements Clock {
  slept: number[] = [];
  ring: () => void = () => {};
  now = () => new Date(0);
  monotonic = () => 0;
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.slept.push(ms);
    return new Promise((resolve, reject) => {
      this.ring = resolve;
      signal.addEventListener('abort', () => reject(abortedError(signal)));
    });
  }
}

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('psql was ended by SIGTERM')));
  });

test('work that is late is ended, and the file is at fault', async () => {
  const clock = new HandClock();
  const signal = new AbortController().signal;
  const late = withDeadline({ mostMs: 5000, clock }, signal, untilAborted);
  clock.ring();
  await expect(late).rejects.toMatchObject({ code: 'drop/takes-too-long' });
  expect(clock.slept).toEqual([5000]);
});

test('work in time keeps its result, its error, and the reason of whoever stopped it', async () => {
  const clock = systemClock;
  const signal = new AbortController().signal;
  expect(await withDeadline({ mostMs: 60_000, clock }, signal, async () => 7)).toBe(7);
  const failing = withDeadline({ mostMs: 60_000, clock }, signal, () =>
    Promise.reject(new DropbackError('drop/corrupt', 'it is', { hint: 'no.' })),
  );
  await expect(failing).rejects.toMatchObject({ code: 'drop/corrupt' });
  const stop = new AbortController();
  const stopped = withDeadline({ mostMs: 60_000, clock }, stop.signal, untilAborted);
  stop.abort();
  await expect(stopped).rejects.toThrow('SIGTERM');
});

test('a large file gets longer', () => {
  expect(plausibleMs(0)).toBe(3_600_000);
  expect(plausibleMs(100_000_000_000)).toBe(103_600_000);
});
