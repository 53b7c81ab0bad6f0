import { beforeEach, expect, test } from 'vitest';
import { BackupAlerts } from '../../../src/backup/backup-alerts.ts';
import { NOTHING_LOST } from '../../../src/backup/lost-copies.ts';
import type { Alerts, News } from '../../../src/core/alerts/alert.ts';
import { type BackupState, EMPTY_STATE } from '../../../src/core/archive/state-file.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import type { BackupStatus, RehearsedBackup } from '../../../src/core/requests/backup-status.ts';
import type { LocalStore } from '../../../src/core/stores/local/store.ts';

/** `raise backup backup-failed`, for what was said. */
let said: string[];
beforeEach(() => {
  said = [];
});

const note = (how: string) => async (trouble: string, news: News) => {
  said.push(`${how} ${trouble} ${news.event}`);
};
const alerts: Alerts = {
  tell: async ({ event }) => {
    said.push(`tell ${event}`);
  },
  raise: note('raise'),
  clear: note('clear'),
  standing: () =>
    said
      .filter((line) => line.startsWith('raise'))
      .map((line) => line.slice('raise '.length, line.lastIndexOf(' '))),
};
const states = new Map<string, BackupState>();
const local = {
  readState: async (id: string) => states.get(id) ?? EMPTY_STATE,
} as unknown as LocalStore;
const told = () => new BackupAlerts({ alerts, local, log: silentLogger() });

const error = { code: 'a/b', message: 'it broke', hint: 'mend it.' };

test('a hiccup of the store is not worth a message, an outage is', async () => {
  for (const failures of [1, 2]) await told().uploadsFailed(error, 1, failures);
  expect(said).toEqual([]);
  await told().uploadsFailed(error, 3, 3);
  await told().uploadsDrained();
  expect(said).toEqual(['raise uploads uploads-behind', 'clear uploads uploads-recovered']);
});

test('uploads that are too slow are told as well as those that fail', async () => {
  const now = new Date('2026-11-23T12:00:00Z');
  const since = (oldestNotUploaded: string) =>
    told().lookAtUploads({ uploadBacklog: 3, oldestNotUploaded } as BackupStatus, now);
  await since('2026-11-22T13:00:00Z');
  expect(said).toEqual([]);
  await since('2026-11-22T11:00:00Z');
  expect(said).toEqual(['raise uploads uploads-behind']);
});

test('copies that somebody else deleted are told each time; whose place it is, when that changes', async () => {
  await told().copiesLost(NOTHING_LOST, 's3://b/app');
  expect(said).toEqual([]);
  await told().copiesLost({ again: [], forGood: ['app_1'] }, 's3://b/app');
  await told().placeIs('shared', 's3://b/app');
  await told().placeIs('own', 's3://b/app');
  expect(said).toEqual([
    'tell copies-lost',
    'raise place place-shared',
    'clear place place-own-again',
  ]);
});

test('a database that is away for minutes at the start is told', async () => {
  for (let attempt = 1; attempt < 9; attempt++) await told().databaseIsAway(error, attempt);
  expect(said).toEqual([]);
  await told().databaseIsAway(error, 9);
  expect(said).toEqual(['raise backup backup-failed']);
});

test('a bad backup is another trouble than a rehearsal that could not be carried out', async () => {
  const report = { id: 'app_1', kind: 'restore', at: '', durationMs: 1 } as const;
  const rehearsed = (status: RehearsedBackup['status']) =>
    told().rehearsed({ ...report, status, ...(status === 'ok' ? {} : { error }) });
  await rehearsed('failed');
  await rehearsed('inconclusive');
  await rehearsed('ok');
  expect(said).toEqual([
    'raise verification verification-failed',
    'raise rehearsal verification-impossible',
    'clear verification verification-recovered',
    'clear rehearsal verification-recovered',
  ]);
});

test('a post-hook that fails, and works again', async () => {
  await told().postHookEnded(new Error('no'));
  await told().postHookEnded();
  expect(said).toEqual(['raise backup-hook hook-failed', 'clear backup-hook hook-recovered']);
});

test('a backup that was in doubt: told, and told again when it no longer is', async () => {
  const finding = { kind: 'archive', at: '2026-11-23T00:00:00.000Z', durationMs: 1 } as const;
  const failed = { ...finding, status: 'failed', error } as const;
  const ok = { ...finding, status: 'ok' } as const;
  const [bad, mended, gone] = ['app_1', 'app_2', 'app_3'].map((id) => ({ ...failed, id }));
  if (!bad || !mended || !gone) throw new Error('three');
  states.set(bad.id, { ...EMPTY_STATE, verifications: [failed] });
  states.set(mended.id, { ...EMPTY_STATE, verifications: [failed, ok] });
  await told().inDoubt([bad, mended, gone]);
  expect(said).toEqual(
    [bad, mended, gone].map(({ id }) => `raise doubt of ${id} verification-failed`),
  );
  // Another process: what was told is known from what it has left.
  await told().inDoubt([]);
  expect(said.slice(3)).toEqual([
    'clear doubt of app_2 verification-recovered',
    'clear doubt of app_3 verification-recovered',
  ]);
});
