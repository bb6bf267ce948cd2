import { defineConfig } from 'vitest/config';

const common = { testTimeout: 120_000, hookTimeout: 240_000, pool: 'forks' } as const;

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ['default', './test/rig/reporter.ts'],
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          include: ['src/**/*.test.ts', 'src/**/*.test.tsx', 'test/*.test.ts', 'test/contract/**/*.test.ts'],
        },
      },
      {
        test: {
          ...common,
          name: 'e2e',
          include: ['test/rig/**/*.test.ts', 'test/e2e/**/*.test.ts'],
          globalSetup: ['./test/rig/installation.ts'],
        },
      },
    ],
  },
});
