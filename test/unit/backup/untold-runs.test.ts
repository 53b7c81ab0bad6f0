import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BackupAlerts } from '../../../src/backup/backup-alerts.ts';
import { BackupHistory } from '../../../src/backup/history.ts';
import { RunMarks } from '../../../src/backup/run-marks.ts';
import { UntoldRuns } from '../../../src/backup/untold-runs.ts';
import { type News, noAlerts } from '../../../src/core/alerts/alert.ts';
import type { BackupEngine } from '../../../src/core/engines/engine.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { noteFailedRun, readFailedRun } from '../../../src/core/requests/failed-run.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { DropbackError } from '../../../src/core/runtime/errors.ts';
import { ownIdentity } from '../../../src/core/runtime/process/process-identity.ts';
import { LocalStore } from '../../../src/core/stores/local/store.ts';
import { sampleBackup } from '../../support/backups.ts';

const never = new AbortController().signal;
const log = silentLogger();
const clock = systemClock;

let folder: string;
let told: string[];
/** Somebody holds the database's lock. */
let isLocked: boolean;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-marks-'));
  told = [];
  isLocked = false;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const own = () => join(folder, '.dropback', 'app');
const store = () => new LocalStore(join(folder, 'app'), 'app');
const engine = {
  async lock() {
    if (isLocked) throw new DropbackError('lock/busy', 'it is locked', { hint: 'wait.' });
    return { lost: never, async [Symbol.asyncDispose]() {} };
  },
} as unknown as BackupEngine;

async function look(): Promise<void> {
  const alerts = {
    ...noAlerts,
    raise: async (_trouble: string, { error }: News) => void told.push(error?.code ?? ''),
  };
  const history = new BackupHistory(own(), { local: store(), clock, log });
  await history.readFailure();
  await history.readLastGood(never);
  const marks = new RunMarks(own(), { engine, clock, log });
  const people = new BackupAlerts({ alerts, local: store(), log });
  await new UntoldRuns({ marks, history, alerts: people, log }).tellAtStart(never);
}
const begin = () => new RunMarks(own(), { engine, clock, log }).begin();
const marks = async () => (await readdir(own())).filter((name) => name.startsWith('run-'));

/** As if another process had written what is there. */
async function rewriteMark(change: object): Promise<void> {
  const [name = ''] = await marks();
  const mark = JSON.parse(await readFile(join(own(), name), 'utf8'));
  await writeFile(
    join(own(), name),
    JSON.stringify({ ...mark, process: { ...mark.process, ...change } }),
  );
}

test('a run whose process is gone is a failed one, told once; one in hand is let alone', async () => {
  const run = await begin();
  await look();
  expect(told).toEqual([]);
  // The same number, given out again.
  await rewriteMark({ started: '1' });
  await look();
  expect(told[0]).toBe('backup/cut-short');
  expect(await marks()).toEqual([]);
  expect((await readFailedRun(own()))?.error.message).toMatch(
    /^the backup begun at 20\d\d-\S+Z was cut short/,
  );
  await run[Symbol.asyncDispose]();
});

test('what a run has ended with is told by itself', async () => {
  {
    await using _run = await begin();
    expect(await marks()).toHaveLength(1);
  }
  await look();
  expect([await marks(), told]).toEqual([[], []]);
});

test('one in another container runs as long as somebody holds the lock', async () => {
  await begin();
  await rewriteMark({ realm: 'another' });
  isLocked = true;
  await look();
  expect([(await marks()).length, told]).toEqual([1, []]);
  isLocked = false;
  await look();
  expect([(await marks()).length, told[0]]).toEqual([0, 'backup/cut-short']);
});

test('one that was killed after its backup was listed has done its work', async () => {
  await begin();
  await rewriteMark({ pid: 2 ** 22 + 1 });
  const source = join(folder, 'source');
  const { manifest } = await sampleBackup(source, { at: new Date(), bytes: 100 });
  await store().publish(manifest, { path: source }, never);
  await look();
  expect([await marks(), told]).toEqual([[], []]);
});

test('a failure that was noted is told by whoever comes next, until a run goes well', async () => {
  const error = { code: 'tool/failed', message: 'no', hint: 'look.' };
  const failure = { at: new Date().toISOString(), error };
  await mkdir(own(), { recursive: true });
  await noteFailedRun(own(), failure);
  await look();
  expect(told).toEqual(['tool/failed']);
  await noteFailedRun(own(), { ...failure, resolvedBy: 'app_1' });
  await look();
  expect(told).toEqual(['tool/failed']);
});

test('this process is told apart from others by its beginning', async () => {
  const known = await ownIdentity();
  expect(known).toMatchObject({ pid: process.pid, started: expect.stringMatching(/^\d+$/) });
});
