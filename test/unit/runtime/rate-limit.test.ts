import { expect, test } from 'vitest';
import type { Clock } from '../../../src/core/runtime/clock.ts';
import { RateLimit } from '../../../src/core/runtime/rate-limit.ts';
import { failureOf } from '../../support/failure.ts';

const never = new AbortController().signal;

/** Time passes only in sleeps, each of them `lateMs` longer than asked for. */
class Hours implements Clock {
  monotonicMs = 0;
  readonly #lateMs: number;
  constructor(lateMs = 0) {
    this.#lateMs = lateMs;
  }
  now = () => new Date(this.monotonicMs);
  monotonic = () => this.monotonicMs;
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.monotonicMs = Math.max(this.monotonicMs, this.monotonicMs + ms + this.#lateMs);
  }
}

test.each([
  ['timers are exact', 0],
  ['timers are late', 30],
])('%s: no faster than the limit over any stretch, and hardly slower', async (_, lateMs) => {
  const clock = new Hours(lateMs);
  const limit = new RateLimit(1_000_000, clock);
  const passed: { at: number; bytes: number }[] = [];
  for (let n = 0; n < 400; n++) {
    // Whoever reads slowly now and then saves nothing up.
    if (n % 100 === 99) clock.monotonicMs += 5000;
    await limit.take(limit.pieceBytes, never);
    passed.push({ at: clock.monotonicMs, bytes: limit.pieceBytes });
  }
  for (const [from, first] of passed.entries()) {
    let bytes = 0;
    for (const { at, bytes: more } of passed.slice(from)) {
      bytes += more;
      // A tenth of a second's worth at once, and the piece with which the stretch begins.
      expect(bytes).toBeLessThanOrEqual((at - first.at) * 1000 + 100_000 + limit.pieceBytes);
    }
  }
  const all = 400 * limit.pieceBytes;
  expect(clock.monotonicMs - 4 * 5000).toBeLessThan((all / 1000) * 1.05);
});

test('several that ask at once get their turns one after the other', async () => {
  const clock = new Hours();
  const sleeps: number[] = [];
  clock.sleep = async (ms) => void sleeps.push(ms);
  const limit = new RateLimit(1000, clock);
  expect(limit.pieceBytes).toBe(125);
  await Promise.all([1, 2, 3, 4].map(() => limit.take(125, never)));
  expect(sleeps).toEqual([25, 150, 275]);
});

test('a wait ends when it is asked to', async () => {
  const stop = new AbortController();
  const { systemClock } = await import('../../../src/core/runtime/clock.ts');
  const limit = new RateLimit(1, systemClock);
  await limit.take(1000, stop.signal);
  const waiting = limit.take(1, stop.signal);
  stop.abort();
  expect((await failureOf(waiting)).code).toBe('run/aborted');
});
