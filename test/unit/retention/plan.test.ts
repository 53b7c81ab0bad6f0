import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KeepPolicy } from '../../../src/core/config/config.ts';
import { isoWeek, periodNumber } from '../../../src/core/retention/periods.ts';
import {
  planRetention,
  type RetentionBackup,
  type RetentionPlan,
} from '../../../src/core/retention/plan.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const none: KeepPolicy = {
  last: 0,
  hourly: 0,
  daily: 0,
  weekly: 0,
  monthly: 0,
  yearly: 0,
  days: 0,
};
const usual: KeepPolicy = { ...none, last: 3, daily: 7, weekly: 4, monthly: 6 };
const calm = { lastRunFailed: false, requireUploaded: false, usualGapMs: DAY };
const now = new Date('2026-11-22T19:15:00Z');

function every(
  ms: number,
  count: number,
  changes: Partial<RetentionBackup> = {},
): RetentionBackup[] {
  return Array.from({ length: count }, (_, n) => {
    const createdAt = new Date(now.getTime() - n * ms).toISOString();
    return { id: `app_${createdAt}`, createdAt, verified: false, uploaded: true, ...changes };
  });
}

const kept = (plan: RetentionPlan) => plan.keep.map(({ id }) => id.slice(4, 14));

describe('retention', () => {
  test('keeps the newest of each period, newest first, each with its reasons', () => {
    const plan = planRetention(every(DAY, 400), usual, now, calm);
    expect(kept(plan)).toEqual([
      ...['2026-11-22', '2026-11-21', '2026-11-20', '2026-11-19', '2026-11-18', '2026-11-17'],
      ...['2026-11-16', '2026-11-15', '2026-11-08', '2026-11-01', '2026-10-31', '2026-09-30'],
      ...['2026-08-31', '2026-07-31', '2026-06-30'],
    ]);
    expect(plan.keep[0]?.reasons).toEqual([
      'newest',
      'last 1 of 3',
      'daily 2026-11-22',
      'weekly 2026-W47',
      'monthly 2026-11',
    ]);
    expect(plan.remove).toHaveLength(400 - 15);
    expect(plan.remove[0]?.id).toBe(every(DAY, 400).at(-1)?.id);
    expect(plan.held).toBeUndefined();
  });

  test('a bad backup takes the place of no good one, and stays as long as one', () => {
    const [today, , yesterday, dayBefore] = every(12 * HOUR, 4);
    if (!today || !yesterday || !dayBefore) throw new Error();
    const list = [today, { ...yesterday, bad: true }, dayBefore];
    const plan = planRetention(list, { ...none, last: 2 }, now, calm);
    expect(plan.keep).toEqual([
      { id: today.id, reasons: ['newest', 'last 1 of 2'] },
      { id: yesterday.id, reasons: ['last 2 of 2, though bad'] },
      { id: dayBefore.id, reasons: ['last 2 of 2'] },
    ]);
  });

  test('a rule that is not full keeps the oldest, so that it can become full', () => {
    const plan = planRetention(every(DAY, 40), { ...none, yearly: 3 }, now, calm);
    expect(kept(plan)).toEqual(['2026-11-22', '2026-10-14']);
    expect(plan.keep[1]?.reasons).toEqual(['oldest (yearly not full)']);
  });

  test('days count from the newest backup, so that a pause costs none', () => {
    const later = new Date(now.getTime() + 90 * DAY);
    const plan = planRetention(every(DAY, 30), { ...none, days: 7 }, later, calm);
    expect(plan.keep).toHaveLength(7);
  });

  test.each([
    ['2021-01-03', '2020-W53'],
    ['2021-01-04', '2021-W01'],
    ['2026-12-31', '2026-W53'],
    ['2027-01-01', '2026-W53'],
    ['2024-12-30', '2025-W01'],
    ['2018-01-01', '2018-W01'],
  ])('%s is in ISO week %s', (day, week) => {
    expect(isoWeek(new Date(`${day}T12:00:00Z`))).toBe(week);
  });

  test('weeks are counted as they are named', () => {
    for (let day = 0; day < 366 * 30; day++) {
      const [at, next] = [new Date(day * DAY), new Date((day + 1) * DAY)];
      const sameWeek = periodNumber('weekly', at) === periodNumber('weekly', next);
      if (sameWeek !== (isoWeek(at) === isoWeek(next))) expect.fail(at.toISOString());
    }
  });

  test('periods are in UTC', () => {
    const backups = ['2026-11-21T23:59:59Z', '2026-11-22T00:00:00+02:00'].map((createdAt) => ({
      ...{ id: createdAt, createdAt, verified: false, uploaded: true },
    }));
    const plan = planRetention(backups, { ...none, daily: 2 }, now, calm);
    expect(plan.keep[0]?.reasons).toContain('daily 2026-11-21');
    expect(plan.keep[1]?.reasons).toEqual(['oldest (daily not full)']);
  });

  describe('guards', () => {
    const strict = { ...none, last: 1 };

    test('nothing when the last run failed', () => {
      const plan = planRetention(every(DAY, 9), strict, now, { ...calm, lastRunFailed: true });
      expect(plan).toMatchObject({ remove: [], held: 'the last run failed' });
      expect(plan.keep).toHaveLength(9);
    });

    test('nothing with a policy of zeros', () => {
      expect(planRetention(every(DAY, 9), none, now, calm).remove).toEqual([]);
    });

    test('never what is not uploaded yet, when there is a remote store', () => {
      const backups = every(DAY, 9).map((backup, n) => ({ ...backup, uploaded: n !== 5 }));
      const plan = planRetention(backups, strict, now, { ...calm, requireUploaded: true });
      expect(plan.keep.map(({ reasons }) => reasons)).toEqual([
        ['newest', 'last 1 of 1'],
        ['not uploaded yet'],
      ]);
    });

    test('never the newest verified one', () => {
      const backups = every(DAY, 9).map((backup, n) => ({ ...backup, verified: n >= 6 }));
      const plan = planRetention(backups, strict, now, calm);
      expect(plan.keep[1]).toEqual({ id: backups[6]?.id, reasons: ['newest verified'] });
    });

    test('nothing when the clock went back, or a backup is dated in the future', () => {
      const earlier = new Date(now.getTime() - DAY);
      const plan = planRetention(every(HOUR, 9), strict, earlier, calm);
      expect(plan.remove).toEqual([]);
      for (const { reasons } of plan.keep) expect(reasons).toEqual(['dated ahead of the clock']);
    });

    test('one that was made under a clock that was ahead, and it holds up none of the others', () => {
      const usual = every(HOUR, 9);
      const createdAt = new Date(now.getTime() + 3000 * DAY).toISOString();
      const ahead = { id: 'ahead', createdAt, verified: true, uploaded: true };
      const plan = planRetention([...usual, ahead], strict, now, calm);
      const without = planRetention(usual, strict, now, calm);
      expect(without.remove.length).toBeGreaterThan(0);
      expect(plan.remove).toEqual(without.remove);
      expect(plan.keep[0]).toEqual({ id: 'ahead', reasons: ['dated ahead of the clock'] });
      expect(plan.keep.slice(1)).toEqual(without.keep);
    });

    test('by age no more than usual, however far the clock jumps ahead, and stays there', () => {
      let list: RetentionBackup[] = [];
      let jumped = 0;
      for (let day = 0; day < 90; day++) {
        if (day === 45) jumped = 3000 * DAY;
        const at = new Date(now.getTime() + day * DAY + jumped);
        const createdAt = at.toISOString();
        list.push({ id: createdAt, createdAt, verified: false, uploaded: true });
        const plan = planRetention(list, { ...none, days: 30 }, at, calm);
        expect(plan.held).toBeUndefined();
        const left = new Set(plan.keep.map(({ id }) => id));
        list = list.filter(({ id }) => left.has(id));
        expect(list).toHaveLength(Math.min(day + 1, 30));
      }
    });

    test('by age nothing for a pause, and everything in its time', () => {
      const before = every(DAY, 30).map((backup) => {
        const createdAt = new Date(Date.parse(backup.createdAt) - 500 * DAY).toISOString();
        return { ...backup, id: createdAt, createdAt };
      });
      const resumed = (days: number) =>
        planRetention([...every(DAY, days), ...before], { ...none, days: 30 }, now, calm);
      expect(resumed(1).remove).toHaveLength(1);
      expect(resumed(10).remove).toHaveLength(10);
      expect(resumed(30).remove).toHaveLength(30);
    });

    test('nothing when a time cannot be read or an id comes twice', () => {
      const [one] = every(DAY, 1);
      if (!one) throw new Error();
      const unreadable = { ...one, id: 'x', createdAt: 'yesterday' };
      expect(planRetention([one, unreadable], strict, now, calm).held).toMatch(/x/);
      expect(planRetention([one, one], strict, now, calm).held).toMatch(/same id/);
    });
  });

  // More of it, and nearly all lists would be held, or kept whole.
  const seldom = fc.noBias(fc.nat(29)).map((n) => n === 0);
  const backupsOf = (hours: fc.Arbitrary<number>) =>
    fc
      .uniqueArray(
        fc.record({
          ...{ hours, verified: fc.boolean(), uploaded: fc.boolean(), rehearsed: fc.boolean() },
          ...{ rehearsedWhole: fc.boolean(), bad: seldom, unreadable: seldom },
        }),
        { selector: ({ hours }) => hours, maxLength: 80, size: 'max' },
      )
      .map((list) =>
        list.map(({ hours, ...facts }) => {
          const createdAt = new Date(now.getTime() - hours * HOUR).toISOString();
          return { id: createdAt, createdAt, ...facts };
        }),
      );
  const backups = backupsOf(fc.nat(50_000));
  /** Some of them dated ahead of the clock. */
  const anyBackups = backupsOf(
    fc.oneof({ weight: 59, arbitrary: fc.nat(50_000) }, fc.integer({ min: -3000, max: -1 })),
  );
  const count = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(12));
  const policies = fc.record({
    ...{ last: count, hourly: count, daily: count, weekly: count, monthly: count },
    ...{ yearly: count, days: count },
  });
  const guards = fc.record({
    lastRunFailed: fc.nat(5).map((n) => n === 0),
    requireUploaded: fc.boolean(),
    usualGapMs: fc.integer({ min: 1000, max: 30 * DAY }),
  });

  test('whatever the policy and the state of things: what is never deleted', () => {
    const seen = { removed: 0, ahead: 0, unreadable: 0, waiting: 0, failed: 0, doubted: 0 };
    fc.assert(
      fc.property(anyBackups, policies, guards, (list, policy, guard) => {
        const plan = planRetention(list, policy, now, guard);
        const keep = plan.keep.map(({ id }) => id);
        const remove = plan.remove.map(({ id }) => id);
        expect([...keep, ...remove].sort()).toEqual(list.map(({ id }) => id).sort());
        for (const { reasons } of plan.keep) expect(reasons.length).toBeGreaterThan(0);
        for (const { reason } of plan.remove) expect(reason).not.toBe('');

        const newestFirst = list.toSorted((a, b) => (a.id < b.id ? 1 : -1));
        const ahead = newestFirst.filter(({ id }) => new Date(id) > now);
        const usual = newestFirst.filter(({ id }) => new Date(id) <= now);
        const good = usual.filter(({ bad, unreadable }) => !bad && !unreadable);
        const sacred = [usual, good].flatMap((some) => [
          some[0],
          some.find(({ verified }) => verified),
          some.find(({ rehearsed }) => rehearsed),
          some.find(({ rehearsedWhole }) => rehearsedWhole),
        ]);
        const unreadable = list.filter((backup) => backup.unreadable);
        const waiting = guard.requireUploaded ? list.filter(({ uploaded }) => !uploaded) : [];
        for (const one of [...sacred, ...ahead, ...unreadable, ...waiting]) {
          if (one) expect(keep).toContain(one.id);
        }
        const isDoubted = [...ahead, ...usual.slice(0, 1)].some((one) => one.bad || one.unreadable);
        if (guard.lastRunFailed || isDoubted) expect(remove).toEqual([]);
        if (remove.length > 0) expect(keep).toContain(good[0]?.id ?? usual[0]?.id);
        if (isDoubted && !guard.lastRunFailed && list.length > 1) expect(plan.held).toBeDefined();
        if (plan.held === undefined) {
          const without = planRetention(good, policy, now, guard).keep.map(({ id }) => id);
          const isGood = new Set(good.map(({ id }) => id));
          expect(keep.filter((id) => isGood.has(id))).toEqual(without);
        }
        const isRemoving = remove.length > 0;
        seen.removed += Number(isRemoving);
        seen.ahead += Number(isRemoving && ahead.length > 0);
        seen.unreadable += Number(isRemoving && unreadable.length > 0);
        seen.waiting += Number(isRemoving && waiting.length > 0);
        seen.failed += Number(guard.lastRunFailed && list.length > 20);
        seen.doubted += Number(isDoubted && !guard.lastRunFailed && list.length > 20);
      }),
      { numRuns: 400 },
    );
    // None of that was only said of lists in which it can't happen.
    for (const times of Object.values(seen)) expect(times).toBeGreaterThan(5);
  });

  test('a clock that goes back removes nothing that would stay; one that jumps ahead nothing more by age', () => {
    const jumps = fc.integer({ min: 1, max: 100_000 });
    const ages = fc.record({ days: fc.integer({ min: 1, max: 60 }) });
    fc.assert(
      fc.property(backups, policies, jumps, ages, guards, (list, policy, hours, age, guard) => {
        const back = new Date(now.getTime() - hours * HOUR);
        const removedNow = planRetention(list, policy, now, calm).remove;
        const { remove, held } = planRetention(list, policy, back, calm);
        if (held === undefined) expect(removedNow).toEqual(expect.arrayContaining([...remove]));
        const newest = Math.max(...list.map(({ createdAt }) => Date.parse(createdAt)));
        if (list.length === 0) return;
        const removedWith = (at: number) => {
          const createdAt = new Date(at).toISOString();
          const next = { id: createdAt, createdAt, verified: true, uploaded: true };
          const all = [...list, next];
          return planRetention(all, { ...none, ...age }, new Date(at), guard).remove;
        };
        // The latest that a run on time may be.
        const onTime = newest + guard.usualGapMs + 5 * 60_000;
        expect(removedWith(onTime + hours * HOUR)).toEqual(removedWith(onTime));
      }),
      { numRuns: 300 },
    );
  });

  test('what was decided stays decided: planning again removes nothing more', () => {
    fc.assert(
      fc.property(backups, policies, (list, policy) => {
        const plan = planRetention(list, policy, now, calm);
        const left = new Set(plan.keep.map(({ id }) => id));
        const again = planRetention(
          list.filter(({ id }) => left.has(id)),
          policy,
          now,
          calm,
        );
        expect(again.remove).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('a larger policy keeps a superset, save for the oldest that fill a rule', () => {
    fc.assert(
      fc.property(backups, policies, policies, (list, policy, more) => {
        const larger = Object.fromEntries(
          Object.entries(policy).map(([key, value]) => [
            key,
            value + more[key as keyof KeepPolicy],
          ]),
        ) as unknown as KeepPolicy;
        const small = planRetention(list, policy, now, calm);
        const large = new Set(planRetention(list, larger, now, calm).keep.map(({ id }) => id));
        if (small.held !== undefined) return;
        for (const { id } of small.keep) expect(large.has(id)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('ten years of hourly backups, pruned after each as a daemon would', () => {
    let list: RetentionBackup[] = [];
    const policy = { ...usual, hourly: 24, yearly: 10 };
    const start = Date.UTC(2016, 0, 1);
    for (let hour = 0; hour < 10 * 365 * 24; hour++) {
      const at = new Date(start + hour * HOUR);
      const createdAt = at.toISOString();
      list.push({ id: createdAt, createdAt, verified: false, uploaded: true });
      const plan = planRetention(list, policy, at, calm);
      const left = new Set(plan.keep.map(({ id }) => id));
      list = list.filter(({ id }) => left.has(id));
    }
    expect(list.length).toBeGreaterThan(24 + 7 + 3 + 5);
    expect(list.length).toBeLessThanOrEqual(24 + 7 + 4 + 6 + 10 + 3);
    const years = new Set(list.map(({ id }) => id.slice(0, 4)));
    expect(years.size).toBe(10);
  });

  test('ten years of hourly backups at once', () => {
    const plan = planRetention(every(HOUR, 10 * 365 * 24), usual, now, calm);
    expect(plan.keep).toHaveLength(17);
    expect(plan.remove).toHaveLength(10 * 365 * 24 - 17);
  });
});
