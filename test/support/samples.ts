import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'vitest';

/** Well-known databases to try: in DROPBACK_SAMPLES, or in a folder beside the checkout. */
const folder =
  process.env['DROPBACK_SAMPLES'] ?? new URL('../../../shared/samples', import.meta.url).pathname;

/** Path of a sample, where somebody has put it. */
export function samplePath(name: 'pagila.sql' | 'chinook.sqlite'): string | undefined {
  const path = join(folder, name);
  return existsSync(path) ? path : undefined;
}

/**
 * `test` where the sample is there, else nothing: our own databases are as rich, so a clone without
 * samples has fewer tests rather than skipped ones.
 */
export function testWith(
  sample: unknown,
): (name: string, run: () => Promise<void>, ms?: number) => void {
  return sample ? (name, run, ms) => test(name, run, ms) : () => {};
}
