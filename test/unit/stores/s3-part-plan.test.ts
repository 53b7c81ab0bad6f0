import { expect, test } from 'vitest';
import { partBytesFor, partBytesForEstimate } from '../../../src/core/stores/s3/part-plan.ts';

const MIB = 1024 ** 2;
const TIB = 1024 ** 4;

test.each([0, 1, 2e9, 1e12, 5 * TIB])('%d bytes fit into the parts that S3 takes', (bytes) => {
  const part = partBytesFor(bytes);
  expect(part % MIB).toBe(0);
  expect(part).toBeLessThanOrEqual(5 * 1024 * MIB);
  expect(Math.ceil(bytes / part)).toBeLessThanOrEqual(9000);
});

test('an archive beyond the largest object is refused', () => {
  expect(() => partBytesFor(5 * TIB + 1)).toThrow(/more than S3 takes/);
});

test('a database beyond the largest object is not: its archive is smaller', () => {
  expect(partBytesForEstimate(10e12)).toBe(partBytesFor(5 * TIB));
  expect(partBytesForEstimate(1e12)).toBe(partBytesFor(1e12));
});
