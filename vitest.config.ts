import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Real servers are shared: a file runs its own databases, but two cores carry two files.
    maxWorkers: 2,
    pool: 'forks',
  },
});
