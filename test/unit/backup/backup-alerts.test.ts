import { beforeEach, expect, test } from 'vitest';
import { BackupAlerts } from '../../../src/backup/backup-alerts.ts';
import type { Alerts, News } from '../../../src/core/alerts/alert.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import type { RehearsedBackup } from '../../../src/core/requests/backup-status.ts';
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
};
const local = {} as LocalStore;
const told = () => new BackupAlerts({ alerts, local, log: silentLogger() });

const error = { code: 'a/b', message: 'it broke', hint: 'mend it.' };

test('a hiccup of the store is not worth a message, an outage is', async () => {
  for (const failures of [1, 2]) await told().uploadsFailed(error, 1, failures);
  expect(said).toEqual([]);
  await told().uploadsFailed(error, 3, 3);
  await told().uploadsDrained();
  expect(said).toEqual(['raise uploads uploads-behind', 'clear uploads uploads-recovered']);
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
