import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Every file has databases of its own on the shared servers; most of its time is waiting.
    maxWorkers: 3,
    pool: 'forks',
  },
});
