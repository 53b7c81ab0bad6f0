import type { Alert } from '../../src/core/alerts/alert.ts';

/** One that is as good as any other. */
export const testAlert: Alert = {
  format: 'dropback-alert',
  version: 1,
  id: 'id',
  event: 'restore-done',
  severity: 'info',
  title: 'restored',
  lines: [],
  at: '2026-11-23T00:00:00.000Z',
  source: { program: 'db-restore', name: 'app', database: 'postgresql://db/app' },
};
