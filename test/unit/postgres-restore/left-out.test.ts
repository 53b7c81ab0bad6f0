import { expect, test } from 'vitest';
import { leftOutWarnings } from '../../../src/core/engines/postgres/restore/left-out.ts';

const owner = (object: string, role: string) => ({
  what: 'the owner of',
  object,
  why: `was left out for the unknown role ${role}`,
});

test('one warning a reason, with the number and the first names', () => {
  const tables = Array.from({ length: 12 }, (_, i) => owner(`TABLE public.t${i}`, 'bob'));
  expect(leftOutWarnings([owner('SCHEMA shop', 'eve'), ...tables])).toEqual([
    'the owner of SCHEMA shop was left out for the unknown role eve',
    'the owner of 12 objects was left out for the unknown role bob: TABLE public.t0, TABLE public.t1, TABLE public.t2, TABLE public.t3, TABLE public.t4 and 7 more',
  ]);
  expect(leftOutWarnings([owner('TABLE public.t', 'bob'), owner('TABLE public.t', 'bob')])).toEqual(
    ['the owner of TABLE public.t was left out for the unknown role bob'],
  );
  expect(leftOutWarnings([])).toEqual([]);
});

test('a file with a reason of its own for each object cannot fill a report', () => {
  const many = Array.from({ length: 1000 }, (_, i) => owner(`TABLE public.t${i}`, `role${i}`));
  const warnings = leftOutWarnings(many);
  expect(warnings).toHaveLength(21);
  expect(warnings.at(-1)).toBe('and 980 more of the same kind');
});
