import { describe, expect, test } from 'vitest';
import {
  nextRun,
  overdueAfter,
  type ScheduleFacts,
  usualGap,
} from '../../../src/backup/schedule.ts';

const at = (text: string) => new Date(`2026-11-22T${text}Z`);
const hourly = { schedule: { kind: 'interval', seconds: 3600 } as const, onStart: true };
const facts = (extra: Partial<ScheduleFacts>): ScheduleFacts => ({
  now: at('12:00:00'),
  startedAt: at('12:00:00'),
  failures: 0,
  ...extra,
});

describe('interval', () => {
  test('runs at start when there is no good backup', () => {
    expect(nextRun(hourly, facts({}))).toEqual(at('12:00:00'));
  });
  test('runs at start when the last good backup is older than the interval', () => {
    expect(nextRun(hourly, facts({ lastGood: at('10:00:00') })) <= at('12:00:00')).toBe(true);
  });
  test('a young backup postpones the first run', () => {
    expect(nextRun(hourly, facts({ lastGood: at('11:30:00') }))).toEqual(at('12:30:00'));
  });
  test('without BACKUP_ON_START what went by while it was down is not caught up', () => {
    const quiet = { ...hourly, onStart: false };
    expect(nextRun(quiet, facts({}))).toEqual(at('13:00:00'));
    expect(nextRun(quiet, facts({ lastGood: at('08:00:00') }))).toEqual(at('13:00:00'));
    expect(nextRun(quiet, facts({ lastGood: at('11:30:00') }))).toEqual(at('12:30:00'));
    // Its own next run is not mistaken for one that went by.
    const later = facts({ lastGood: at('12:30:00'), now: at('14:00:00') });
    expect(nextRun(quiet, later)).toEqual(at('13:30:00'));
  });
  test('a backup dated in the future does not hold up the next', () => {
    const jumped = facts({ lastGood: new Date('2031-01-01T00:00:00Z') });
    expect(nextRun(hourly, jumped)).toEqual(at('12:00:00'));
  });
});

describe('after a failure', () => {
  test.each([
    [1, '12:01:00'],
    [2, '12:02:00'],
    [3, '12:04:00'],
  ])('%i failures: again at %s', (failures, expected) => {
    const failed = facts({ failures, lastAttempt: at('12:00:00'), lastGood: at('09:00:00') });
    expect(nextRun(hourly, failed)).toEqual(at(expected));
  });
  test('at most an hour later, and never later than the regular run', () => {
    const daily = { ...hourly, schedule: { kind: 'interval', seconds: 86400 } as const };
    const many = facts({ failures: 40, lastAttempt: at('12:00:00') });
    expect(nextRun(daily, many)).toEqual(at('13:00:00'));
    const soon = facts({ failures: 9, lastAttempt: at('12:00:00'), lastGood: at('11:10:00') });
    expect(nextRun(hourly, soon)).toEqual(at('12:10:00'));
  });
});

describe('cron', () => {
  const cron = (onStart: boolean, timeZone?: string) => ({
    schedule: {
      kind: 'cron' as const,
      expression: '0 3 * * *',
      ...(timeZone ? { timeZone } : {}),
    },
    onStart,
  });
  test('the next time after the last good backup', () => {
    const next = nextRun(cron(true, 'UTC'), facts({ lastGood: at('03:00:10') }));
    expect(next).toEqual(new Date('2026-11-23T03:00:00Z'));
  });
  test('a time that went by while it was down is caught up at start, if wanted', () => {
    const lastGood = new Date('2026-11-20T03:00:10Z');
    expect(nextRun(cron(true, 'UTC'), facts({ lastGood })) <= at('12:00:00')).toBe(true);
    expect(nextRun(cron(false, 'UTC'), facts({ lastGood }))).toEqual(
      new Date('2026-11-23T03:00:00Z'),
    );
  });
  test('in the time zone given', () => {
    const next = nextRun(cron(false, 'America/New_York'), facts({}));
    expect(next).toEqual(new Date('2026-11-23T08:00:00Z'));
  });
});

test('overdue counts from the last good backup, or from the start for the first one', () => {
  const grace = 600_000;
  expect(overdueAfter(hourly, facts({ lastGood: at('11:30:00') }), grace)).toEqual(at('12:40:00'));
  expect(overdueAfter(hourly, facts({}), grace)).toEqual(at('13:10:00'));
});

test('once a run has failed, overdue at the next regular time, where its time-out is longer', () => {
  const hour = 3_600_000;
  const failed = facts({ lastGood: at('11:30:00'), failures: 1 });
  expect(overdueAfter(hourly, failed, 6 * hour)).toEqual(at('13:30:00'));
  expect(overdueAfter(hourly, failed, hour / 6)).toEqual(at('12:40:00'));
  const cron = { schedule: { kind: 'cron', expression: '0 * * * *' } as const, onStart: true };
  expect(overdueAfter(cron, failed, 6 * hour)).toEqual(at('13:00:00'));
  expect(overdueAfter(cron, { ...failed, failures: 0 }, 6 * hour)).toEqual(at('18:00:00'));
});

test.each([
  [{ kind: 'interval', seconds: 900 } as const, 0.25],
  [{ kind: 'cron', expression: '0 * * * *' } as const, 1],
  [{ kind: 'cron', expression: '0 2 * * 1-5' } as const, 72],
  [{ kind: 'cron', expression: '0 8,20 * * *' } as const, 12],
])('the usual gap of %j is %d h', (schedule, hours) => {
  expect(usualGap(schedule, new Date('2026-06-10T00:00:00Z'))).toBe(hours * 3_600_000);
});
