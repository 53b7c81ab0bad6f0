import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { REMOVED } from '../../../src/backup/verify/errors.ts';
import { VerifyLoop } from '../../../src/backup/verify/loop.ts';
import { selectBackups } from '../../../src/backup/verify/selection.ts';
import type { Verifier } from '../../../src/backup/verify/verifier.ts';
import type { Manifest } from '../../../src/core/archive/manifest.ts';
import { withVerification } from '../../../src/core/archive/state-file.ts';
import { silentLogger } from '../../../src/core/observability/log.ts';
import { lastRunFailed, type RehearsedBackup } from '../../../src/core/requests/backup-status.ts';
import {
  noteFailedRun,
  noteResolved,
  readFailedRun,
} from '../../../src/core/requests/failed-run.ts';
import { systemClock } from '../../../src/core/runtime/clock.ts';
import { Catalogue } from '../../../src/core/stores/catalogue.ts';
import { LocalStore } from '../../../src/core/stores/local/store.ts';
import { sampleBackup } from '../../support/backups.ts';
import { failureOf } from '../../support/failure.ts';
import { SteppedClock } from '../../support/stepped-clock.ts';

/** Of real time, on a busy machine. */
const LONG_MS = 120_000;

const never = new AbortController().signal;
const now = new Date('2026-11-22T20:00:00Z');
const clock = { ...systemClock, now: () => now };
let folder: string;
let local: LocalStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropback-newest-'));
  local = new LocalStore(join(folder, 'app'), 'app');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function make(at: string): Promise<Manifest> {
  const source = join(folder, at);
  const { manifest } = await sampleBackup(source, { at: new Date(at), bytes: 100 });
  await local.publish(manifest, { path: source }, never);
  return manifest;
}

describe('a backup of one run under a clock that was years ahead', () => {
  let usual: Manifest;
  let ahead: Manifest;
  beforeEach(async () => {
    ahead = await make('2031-01-01T00:00:00Z');
    await make('2026-11-22T18:00:00Z');
    usual = await make('2026-11-22T20:02:00Z');
  });

  test('is not the newest, for whoever asks for that', async () => {
    expect((await local.newest(now))?.id).toBe(usual.id);
    const catalogue = new Catalogue(local, undefined, clock);
    const view = await catalogue.list(never);
    expect(selectBackups(view, 'app', 'latest', now)[0]?.id).toBe(usual.id);
    // Nothing is guessed where a database is to be replaced.
    const error = await failureOf(catalogue.find('latest', never));
    expect(error).toMatchObject({ code: 'store/clock-doubt' });
    expect(error.message).toContain(ahead.id);
    expect(error.hint).toContain(usual.id);
    expect((await catalogue.find(ahead.id, never)).id).toBe(ahead.id);
  });

  test('is the newest again for a clock that knows its time; and for one that knows nothing', async () => {
    for (const at of ['2031-01-02T00:00:00Z', '1970-01-01T00:00:00Z']) {
      const then = new Date(at);
      expect((await local.newest(then))?.id).toBe(ahead.id);
      const catalogue = new Catalogue(local, undefined, { ...systemClock, now: () => then });
      expect((await catalogue.find('latest', never)).id).toBe(ahead.id);
    }
  });

  test('is not what is rehearsed for ever; one that goes meanwhile is not told of', async () => {
    const stepped = new SteppedClock(now.getTime());
    const rehearsed: string[] = [];
    const told: RehearsedBackup[] = [];
    const report = {
      kind: 'restore',
      where: 'local',
      at: now.toISOString(),
      durationMs: 1,
    } as const;
    const rehearse = async ({ manifest: { id } }: { manifest: Manifest }) => {
      rehearsed.push(id);
      await local.updateState(id, (state) => withVerification(state, { ...report, status: 'ok' }));
      if (rehearsed.length > 1) return { ...report, id, status: 'ok' as const, warnings: [] };
      const error = { code: REMOVED, message: 'gone', hint: '' };
      return { ...report, id, status: 'inconclusive' as const, warnings: [], error };
    };
    const loop = new VerifyLoop({
      verify: { mode: 'restore', queries: [] },
      local,
      verifier: { rehearse } as unknown as Verifier,
      clock: stepped,
      log: silentLogger(),
      onChange: () => {},
      onReport: (one) => told.push(one),
    });
    const stop = new AbortController();
    const running = loop.run(stop.signal);
    await stepped.until('the first', () => rehearsed.length === 1, LONG_MS);
    const next = await make('2026-11-22T20:03:00Z');
    loop.wake();
    await stepped.until('the second', () => told.length === 1, LONG_MS);
    stop.abort();
    await running;
    expect(rehearsed).toEqual([usual.id, next.id]);
    expect(told).toMatchObject([{ id: next.id, status: 'ok' }]);
  });
});

test('rehearsals go on by the clock when it has been set back by years', async () => {
  const stepped = new SteppedClock(Date.parse('2031-01-01T00:00:00Z'));
  await make('2026-11-22T18:00:00Z');
  const report = { kind: 'restore', where: 'local', durationMs: 1, warnings: [] } as const;
  let rehearsed = 0;
  const rehearse = async ({ manifest: { id } }: { manifest: Manifest }) => {
    rehearsed += 1;
    const error = { code: 'database/unreachable', message: 'away', hint: '' };
    const status = rehearsed === 1 ? ('inconclusive' as const) : ('ok' as const);
    return { ...report, id, status, at: stepped.now().toISOString(), error };
  };
  const loop = new VerifyLoop({
    verify: { mode: 'restore', queries: [], schedule: { kind: 'cron', expression: '* * * * *' } },
    local,
    verifier: { rehearse } as unknown as Verifier,
    clock: stepped,
    log: silentLogger(),
    onChange: () => {},
  });
  const stop = new AbortController();
  const running = loop.run(stop.signal);
  /** Minutes pass until there were so many. */
  const until = async (count: number) => {
    for (let minutes = 0; rehearsed < count && minutes < 500; minutes++) {
      await stepped.advance(60_000);
    }
    expect(rehearsed).toBeGreaterThanOrEqual(count);
  };
  await until(1);
  const years = stepped.now().getTime() - now.getTime();
  stepped.jump(-years);
  await until(2);
  stepped.jump(years);
  await until(rehearsed + 1);
  stepped.jump(-years);
  await until(rehearsed + 1);
  stop.abort();
  await running;
});

describe('a run that failed under a clock that was years ahead', () => {
  const failure = {
    at: '2031-01-01T00:00:00.000Z',
    error: { code: 'disk/full', message: 'no space left', hint: '' },
  };
  const good = { id: 'app_20261122T195900Z', createdAt: '2026-11-22T19:59:00.000Z' };

  test('is over when a backup was made', async () => {
    const own = join(folder, 'own');
    await noteFailedRun(own, failure);
    expect(lastRunFailed(await readFailedRun(own), good.createdAt, now)).toBe(true);
    await noteResolved(own, good.id);
    const over = await readFailedRun(own);
    expect(over).toEqual({ ...failure, resolvedBy: good.id });
    expect(lastRunFailed(over, good.createdAt, now)).toBe(false);
    const next = { ...failure, at: now.toISOString() };
    await noteFailedRun(own, next);
    expect(await readFailedRun(own)).toEqual(next);
    expect(lastRunFailed(next, good.createdAt, now)).toBe(true);
  });

  test('nor does a backup of that time hide a failure of today', () => {
    const today = { ...failure, at: now.toISOString() };
    expect(lastRunFailed(today, '2031-01-01T00:00:00Z', now)).toBe(true);
  });
});
