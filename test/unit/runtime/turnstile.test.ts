import { expect, it } from 'vitest';
import { type Place, Turnstile } from '../../../src/core/runtime/turnstile.ts';
import { SteppedClock } from '../../support/stepped-clock.ts';

const never = new AbortController().signal;
const soon = () => new Promise<void>((resolve) => setImmediate(resolve));

function workers(turnstile: Turnstile) {
  const inside: string[] = [];
  const ends = new Map<string, () => void>();
  const begin = (name: string, signal = never) =>
    turnstile.pass(async () => {
      inside.push(name);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      inside.splice(inside.indexOf(name), 1);
    }, signal);
  return { inside, begin, end: (name: string) => ends.get(name)?.() };
}

it('lets so many through at once, in order of arrival', async () => {
  const { inside, begin, end } = workers(new Turnstile(2, 3_600_000, new SteppedClock()));
  const all = ['a', 'b', 'c', 'd'].map((name) => begin(name));
  await soon();
  expect(inside).toEqual(['a', 'b']);
  end('b');
  await all[1];
  await soon();
  expect(inside).toEqual(['a', 'c']);
  for (const name of ['a', 'c']) end(name);
  await soon();
  await soon();
  expect(inside).toEqual(['d']);
  end('d');
  await Promise.all(all);
});

it('gives the place on when the work fails, and when whoever waits gives up', async () => {
  const turnstile = new Turnstile(1, 3_600_000, new SteppedClock());
  const { inside, begin, end } = workers(turnstile);
  await expect(turnstile.pass(() => Promise.reject(new Error('no')), never)).rejects.toThrow('no');
  const first = begin('a');
  const giving = new AbortController();
  const second = begin('b', giving.signal);
  const third = begin('c');
  await soon();
  giving.abort();
  await expect(second).rejects.toMatchObject({ code: 'run/aborted' });
  end('a');
  await first;
  await soon();
  expect(inside).toEqual(['c']);
  end('c');
  await third;
});

it('no longer counts one that stays for ever', async () => {
  const clock = new SteppedClock();
  const { inside, begin, end } = workers(new Turnstile(1, 5000, clock));
  const all = ['hangs', 'b', 'c'].map((name) => begin(name));
  await clock.until('all inside', () => inside.join() === 'hangs,b,c');
  // Its late end frees no second place.
  for (const name of ['hangs', 'b', 'c']) end(name);
  await Promise.all(all);
  const more = ['d', 'e'].map((name) => begin(name));
  await soon();
  expect(inside).toEqual(['d']);
  end('d');
  await more[0];
  await soon();
  end('e');
  await more[1];
});

it('one that steps out lets the next in, and keeps others out when it is back', async () => {
  const clock = new SteppedClock();
  const turnstile = new Turnstile(1, 3_600_000, clock);
  const { inside, begin, end } = workers(turnstile);
  const ended = Promise.withResolvers<void>();
  let place: Place | undefined;
  const first = turnstile.pass((its) => {
    place = its;
    return ended.promise;
  }, never);
  const others = ['a', 'b', 'c'].map((name) => begin(name));
  await soon();
  expect(inside).toEqual([]);
  place?.stepOut();
  place?.stepOut();
  await soon();
  expect(inside).toEqual(['a']);
  // Back at once, though there is no place: the next comes in when both are out.
  place?.stepIn();
  place?.stepIn();
  end('a');
  await others[0];
  await soon();
  expect(inside).toEqual([]);
  // It no longer counts after an hour, as before it stepped out.
  await clock.advance(3_600_000);
  await soon();
  expect(inside).toEqual(['b']);
  ended.resolve();
  await first;
  await soon();
  expect(inside).toEqual(['b']);
  end('b');
  await others[1];
  await soon();
  expect(inside).toEqual(['c']);
  end('c');
  await Promise.all(others);
});
