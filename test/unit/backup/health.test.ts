import { expect, test } from 'vitest';
import { healthOf } from '../../../src/backup/serve.ts';
import type { BackupStatus } from '../../../src/core/requests/backup-status.ts';

const due = new Date('2026-11-22T12:00:00Z');
const after = (seconds: number) => new Date(due.getTime() + seconds * 1000);
const status: BackupStatus = {
  program: 'db-backup',
  name: 'app',
  database: 'sqlite:////data/app.db',
  state: 'idle',
  startedAt: '2026-11-21T00:00:00.000Z',
  nextRunAt: '2026-11-22T10:00:00.000Z',
  failuresSinceGood: 0,
  uploadBacklog: 0,
  overdueAfter: due.toISOString(),
};
const error = { code: 'store/unreachable', message: 'no answer', hint: 'wait' };
const health = (change: Partial<BackupStatus>, now: Date) => {
  const { live, ready, status: told } = healthOf({ ...status, ...change }, now);
  return { live, ready, health: (told as { health: string }).health };
};

test('unhealthy only once a backup is overdue, and healthy again after the next', () => {
  expect(health({ failuresSinceGood: 3 }, after(-1))).toMatchObject({ live: true });
  expect(health({}, after(1))).toEqual({ live: false, ready: true, health: 'unhealthy' });
  const next = { overdueAfter: after(3600).toISOString() };
  expect(health(next, after(1))).toEqual({ live: true, ready: true, health: 'healthy' });
});

test('an upload that does not get through is degraded, not unhealthy', () => {
  const backlog = { uploadBacklog: 2, lastUploadError: error };
  expect(health(backlog, after(-1))).toEqual({ live: true, ready: true, health: 'degraded' });
  expect(health({ uploadBacklog: 2 }, after(-1)).health).toBe('healthy');
  expect(health(backlog, after(1)).health).toBe('unhealthy');
});

test('uploads that fail nowhere, but keep up with nothing, are degraded after a day', () => {
  const day = 86_400;
  const waits = (seconds: number, uploadBacklog = 2) => ({
    uploadBacklog,
    oldestNotUploaded: after(-seconds).toISOString(),
  });
  expect(health(waits(day - 60), after(-1)).health).toBe('healthy');
  expect(health(waits(day + 60), after(-1)).health).toBe('degraded');
  // A single one may be large, and on its way.
  expect(health(waits(day + 60, 1), after(-1)).health).toBe('healthy');
});

test('another db-backup in the same place is degraded', () => {
  expect(health({ sharedPlace: 's3://backups/app' }, after(-1)).health).toBe('degraded');
});

test('not ready while it waits for the database, though alive', () => {
  const waiting = health({ state: 'waiting for the database' }, after(-1));
  expect(waiting).toEqual({ live: true, ready: false, health: 'healthy' });
});

test('a run that failed is degraded until one is good, after a restart of the daemon too', () => {
  const lastFailure = { at: after(-100).toISOString(), error };
  const good = (seconds: number) => ({
    lastGood: { id: 'app_x', createdAt: after(seconds).toISOString(), bytes: 1 },
  });
  expect(health({ lastFailure, failuresSinceGood: 1 }, after(-1)).health).toBe('degraded');
  expect(health({ lastFailure, ...good(-200) }, after(-1)).health).toBe('degraded');
  expect(health({ lastFailure, ...good(-50) }, after(-1)).health).toBe('healthy');
  expect(health({ lastFailure, ...good(-200) }, after(1)).health).toBe('unhealthy');
});
