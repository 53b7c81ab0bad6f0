import { chmodSync, mkdirSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take a minute or more: begun last, they would keep all but one worker waiting. */
const long = [
  '/e2e/crash/postgres.',
  '/e2e/crash/sqlite.',
  '/e2e/stack/interrupted.',
  '/e2e/crash/',
  '/e2e/stack/engine-restart.',
  '/e2e/memory.',
  '/e2e/bench.',
  '/e2e/sqlite-formats.',
  '/e2e/stack/s3.',
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = long.findIndex((part) => moduleId.includes(part));
      return at < 0 ? long.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

/** Daemons and tools are started more than a thousand times: types are stripped once. */
const compiled = new URL('.cache/compiled', import.meta.url).pathname;
mkdirSync(compiled, { recursive: true });
// Each user has a folder of their own in it, as Node makes it.
chmodSync(compiled, 0o1777);

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    env: { NODE_COMPILE_CACHE: compiled },
    // Every file has databases of its own on the shared servers; most of its time is waiting.
    maxWorkers: 4,
    pool: 'forks',
    sequence: { sequencer: LongFirst },
    // On a shared machine a test may meet a stall that has nothing to do with it: CI asks again.
    retry: process.env['CI'] ? 2 : 0,
  },
});
