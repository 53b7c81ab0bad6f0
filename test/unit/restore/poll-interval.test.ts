import { expect, test } from 'vitest';
import { pollIntervalAmong } from '../../../src/restore/serve-several.ts';

test('many databases are polled less often, a few as they are meant to be', () => {
  expect(pollIntervalAmong(1, 5000)).toBe(5000);
  expect(pollIntervalAmong(200, 5000)).toBe(5000);
  expect(pollIntervalAmong(1000, 5000)).toBe(25_000);
  expect(pollIntervalAmong(1000, 60_000)).toBe(60_000);
});
