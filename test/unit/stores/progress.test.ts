import { afterEach, expect, test } from 'vitest';
import { Progress } from '../../../src/core/stores/s3/progress.ts';
import { SteppedClock } from '../../support/stepped-clock.ts';

/** Five minutes in a second. */
const pace = { leastBytes: 300_000, withinMs: 300_000 / 100 };
const WINDOW_MS = pace.withinMs;

let progress: Progress | undefined;
afterEach(() => progress?.[Symbol.dispose]());

function begin(clock: SteppedClock): Progress {
  progress = new Progress('upload of part 3', pace, clock);
  return progress;
}

test('three parts that share 50 kB a second go on for as long as it takes', async () => {
  const clock = new SteppedClock();
  const one = begin(clock);
  for (let at = 0; at < 9; at++) {
    await clock.advance(WINDOW_MS / 3);
    one.moved((50_000 / 3) * 100);
    expect(one.tooSlow.aborted).toBe(false);
  }
});

test('a byte a second is too slow, told with a code and a hint', async () => {
  const clock = new SteppedClock();
  const one = begin(clock);
  for (let at = 0; at < 10; at++) {
    one.moved(30);
    await clock.advance(WINDOW_MS / 10);
  }
  expect(one.tooSlow.reason).toMatchObject({
    code: 'store/too-slow',
    retryable: true,
    message: 'upload of part 3 was given up: it was slower than 300 kB in 3 s',
  });
});

test('what moved in an earlier window says nothing of this one', async () => {
  const clock = new SteppedClock();
  const one = begin(clock);
  one.moved(100 * pace.leastBytes);
  await clock.advance(WINDOW_MS);
  expect(one.tooSlow.aborted).toBe(false);
  await clock.advance(WINDOW_MS);
  expect(one.tooSlow.aborted).toBe(true);
});

test('waiting for our own turn is no fault of the endpoint’s, and excuses nothing else', async () => {
  const clock = new SteppedClock();
  const one = begin(clock);
  const turn = Promise.withResolvers<void>();
  const waited = one.excuse(() => turn.promise);
  await clock.advance(10 * WINDOW_MS);
  expect(one.tooSlow.aborted).toBe(false);
  turn.resolve();
  await waited;
  await clock.advance(WINDOW_MS / 2);
  expect(one.tooSlow.aborted).toBe(false);
  await clock.advance(2 * WINDOW_MS);
  expect(one.tooSlow.aborted).toBe(true);
});

test('once all is handed over there is a whole window for the answer, and no more', async () => {
  const clock = new SteppedClock();
  const one = begin(clock);
  await clock.advance(WINDOW_MS / 2);
  one.moved(pace.leastBytes / 10);
  one.beginAnew();
  await clock.advance(WINDOW_MS);
  expect(one.tooSlow.aborted).toBe(false);
  await clock.advance(WINDOW_MS);
  expect(one.tooSlow.aborted).toBe(true);
});

test('a call that is over is watched no more', async () => {
  const clock = new SteppedClock();
  const one = begin(clock);
  one[Symbol.dispose]();
  await clock.advance(2 * WINDOW_MS);
  expect(one.tooSlow.aborted).toBe(false);
});
