import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Every file has databases of its own on the shared servers; most of its time is waiting.
    maxWorkers: 3,
    pool: 'forks',
    // On a shared machine a test may meet a stall that has nothing to do with it: CI asks again.
    retry: process.env['CI'] ? 2 : 0,
  },
});
