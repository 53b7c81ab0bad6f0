import { expect, test } from 'vitest';
import type { CliContext } from '../../../src/cli/context.ts';
import { gatherStatus } from '../../../src/cli/status/gather.ts';
import { parseBackupConfig } from '../../../src/core/config/backup.ts';
import type { BackupStatus } from '../../../src/core/requests/backup-status.ts';
import type { CatalogueView } from '../../../src/core/stores/catalogue.ts';

const now = new Date('2026-11-22T19:20:00Z');
const config = parseBackupConfig({
  DATABASE_URL: 'sqlite:////data/app.db',
  S3_BUCKET: 'backups',
  AWS_ACCESS_KEY_ID: 'id',
  AWS_SECRET_ACCESS_KEY: 'secret',
});

/** As the daemon saw it last: the bucket wasn't there yet. */
const status: BackupStatus = {
  program: 'db-backup',
  name: 'app',
  database: 'sqlite:////data/app.db',
  state: 'idle',
  startedAt: '2026-11-22T19:00:00.000Z',
  failuresSinceGood: 0,
  uploadBacklog: 1,
  lastUploadError: { code: 'store/not-found', message: 'no such bucket', hint: 'make it.' },
  overdueAfter: '2026-11-24T00:00:00.000Z',
};

function statusWhere(uploaded: boolean, isReachable = true, more: Partial<BackupStatus> = {}) {
  const entry = {
    id: 'app_20261122T191500Z',
    where: uploaded ? ['local', 's3'] : ['local'],
    manifest: { createdAt: '2026-11-22T19:15:00.000Z', tables: [], archive: { bytes: 1 } },
    state: { verifications: [], uploads: {} },
    uploaded,
    ageMs: 300_000,
    bytes: 1,
  };
  const error = { code: 'store/unreachable', message: 'away', hint: 'wait.' };
  const view = {
    entries: [entry],
    strays: [],
    unreachable: isReachable ? [] : [{ where: 's3', error }],
    conflicts: [],
  } as unknown as CatalogueView;
  const operations = {
    backupStatus: async () => ({ status: { ...status, ...more }, isAlive: true }),
    catalogue: async () => ({ list: async () => view }),
    prune: async () => [],
  };
  const context = { operations, clock: { now: () => now }, signal: new AbortController().signal };
  return gatherStatus(config, context as unknown as CliContext);
}

test('what the daemon could not upload and is there by now is no trouble any more', async () => {
  expect(await statusWhere(true)).toMatchObject({
    health: 'healthy',
    problems: [],
    uploads: { waiting: 0 },
  });
});

test('what still waits is told with its reason, and so is a bucket that nobody can ask', async () => {
  expect(await statusWhere(false)).toMatchObject({
    health: 'degraded',
    problems: ['uploads fail: no such bucket'],
  });
  expect(await statusWhere(true, false)).toMatchObject({
    health: 'degraded',
    problems: ['uploads fail: no such bucket', 's3 could not be asked: away'],
  });
});

test('a rehearsal that could not be carried out is told: nothing is degraded without a reason', async () => {
  const lastProblem = {
    id: 'app_20261122T181500Z',
    kind: 'restore',
    status: 'inconclusive',
    at: '2026-11-22T19:16:00.000Z',
    error: { code: 'verify/encrypted', message: 'it is encrypted', hint: 'rehearse elsewhere.' },
  } as const;
  const verification = { state: 'idle', lastProblem } as BackupStatus['verification'];
  expect(await statusWhere(true, true, verification ? { verification } : {})).toMatchObject({
    health: 'degraded',
    problems: ['app_20261122T181500Z could not be restored as a test: it is encrypted'],
  });
});
