import { describe, expect, test } from 'vitest';
import {
  type BackupState,
  EMPTY_STATE,
  type Verification,
  withVerification,
} from '../../../src/core/archive/state-file.ts';
import {
  doubtOf,
  isBad,
  isRehearsed,
  isRehearsedWhole,
  isVerified,
} from '../../../src/core/archive/state-findings.ts';
import { planRetention } from '../../../src/core/retention/plan.ts';

const at = '2026-11-22T19:15:00.000Z';
type Brief = [Verification['kind'], Verification['status'], Verification['where']?];

function stateOf(...all: Brief[]): BackupState {
  return all.reduce<BackupState>((state, [kind, status, where]) => {
    const verification = { kind, status, at, durationMs: 1, ...(where ? { where } : {}) };
    return withVerification(state, verification);
  }, EMPTY_STATE);
}

describe('what verifications say of a backup', () => {
  test.each<[string, Brief[], { verified: boolean; bad: boolean; rehearsed: boolean }]>([
    ['nothing', [], { verified: false, bad: false, rehearsed: false }],
    ['read back', [['archive', 'ok']], { verified: true, bad: false, rehearsed: false }],
    [
      'read back, but it does not restore',
      [
        ['archive', 'ok'],
        ['restore', 'failed'],
        ['archive', 'ok'],
      ],
      { verified: false, bad: true, rehearsed: false },
    ],
    [
      'could not be rehearsed',
      [
        ['archive', 'ok'],
        ['restore', 'inconclusive'],
      ],
      { verified: true, bad: false, rehearsed: false },
    ],
    [
      'was rehearsed, and later could not be',
      [
        ['restore', 'ok'],
        ['restore', 'inconclusive'],
      ],
      { verified: true, bad: false, rehearsed: true },
    ],
    [
      'the second attempt went well',
      [
        ['restore', 'failed'],
        ['restore', 'ok', 'local'],
      ],
      { verified: true, bad: false, rehearsed: true },
    ],
    [
      'was bad, and cannot be read any more',
      [
        ['restore', 'failed'],
        ['archive', 'unreadable'],
      ],
      { verified: false, bad: true, rehearsed: false },
    ],
    [
      'can be read again, by whatever reads it whole',
      [
        ['archive', 'ok'],
        ['archive', 'unreadable'],
        ['restore', 'ok'],
      ],
      { verified: true, bad: false, rehearsed: true },
    ],
  ])('%s', (_, all, { verified, bad, rehearsed }) => {
    const state = stateOf(...all);
    for (const where of ['local', 's3'] as const) {
      expect(isVerified(state, where)).toBe(verified);
      expect(isBad(state, where)).toBe(bad);
      expect(isRehearsed(state, where)).toBe(rehearsed);
    }
  });

  test('damage of one copy says nothing of the other; that it does not restore says all', () => {
    const inS3 = stateOf(['archive', 'ok'], ['archive', 'failed', 's3']);
    expect([isBad(inS3, 's3'), isVerified(inS3, 's3')]).toEqual([true, false]);
    expect([isBad(inS3, 'local'), isVerified(inS3, 'local')]).toEqual([false, true]);
    const here = stateOf(['archive', 'failed'], ['archive', 'ok', 's3'], ['restore', 'ok', 's3']);
    expect([isBad(here, 'local'), isVerified(here, 'local')]).toEqual([true, false]);
    expect([isBad(here, 's3'), isVerified(here, 's3')]).toEqual([false, true]);
    const nowhere = stateOf(['archive', 'ok'], ['restore', 'failed', 's3']);
    expect([isBad(nowhere, 'local'), isBad(nowhere, 's3')]).toEqual([true, true]);
    const mended = withVerification(nowhere, {
      ...{ kind: 'restore', status: 'ok', where: 'local', at, durationMs: 1 },
    });
    expect([isBad(mended, 'local'), isBad(mended, 's3')]).toEqual([false, false]);
  });

  test('a rehearsal that met a damaged copy says nothing of the other', () => {
    const state = withVerification(stateOf(['archive', 'ok'], ['restore', 'ok']), {
      ...{ kind: 'restore', status: 'failed', where: 's3', at, durationMs: 1 },
      error: { code: 'store/corrupt', message: 'its sha256 differs', hint: 'h' },
    });
    expect([isBad(state, 's3'), isBad(state, 'local')]).toEqual([true, false]);
    expect([isRehearsed(state, 's3'), isRehearsed(state, 'local')]).toEqual([false, true]);
  });

  test('a copy that cannot be read says nothing of the other', () => {
    const good: Brief[] = [
      ['archive', 'ok'],
      ['archive', 'ok', 's3'],
      ['restore', 'ok'],
    ];
    const state = stateOf(...good, ['archive', 'unreadable'], ['restore', 'inconclusive']);
    expect([isVerified(state, 'local'), isVerified(state, 's3')]).toEqual([false, true]);
    expect([isRehearsed(state, 'local'), isRehearsed(state, 's3')]).toEqual([false, true]);
    expect(isBad(state, 'local')).toBe(false);
    expect(doubtOf(state)).toMatchObject({ status: 'unreadable' });
    const again = withVerification(state, { kind: 'archive', status: 'ok', at, durationMs: 1 });
    expect(doubtOf(again)).toBeUndefined();
  });

  test('a rehearsal that left something out is one, though not a whole one', () => {
    const rehearsal = { kind: 'restore', status: 'ok', at, durationMs: 1 } as const;
    const part = withVerification(EMPTY_STATE, { ...rehearsal, notCovered: ['rows of t'] });
    expect([isRehearsed(part, 'local'), isRehearsedWhole(part, 's3')]).toEqual([true, false]);
    const whole = withVerification(part, rehearsal);
    expect(isRehearsedWhole(whole, 'local')).toBe(true);
  });

  test('attempts that came to nothing push no finding out', () => {
    const attempts = Array.from({ length: 50 }, (): Brief => ['restore', 'inconclusive']);
    const state = stateOf(['archive', 'ok'], ['restore', 'ok'], ...attempts);
    expect(state.verifications).toHaveLength(3);
    expect(isRehearsed(state, 'local')).toBe(true);
  });
});

describe('retention', () => {
  const policy = { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, days: 0 };
  const guards = { lastRunFailed: false, requireUploaded: false, usualGapMs: 86_400_000 };
  const now = new Date('2026-11-23T00:00:00Z');
  const day = (n: number, more: object = {}) => {
    const id = `app_202611${n}T000000Z`;
    const createdAt = `2026-11-${n}T00:00:00Z`;
    return { id, createdAt, verified: true, uploaded: true, ...more };
  };

  test('keeps the newest that was restored as a test', () => {
    const backups = [day(19, { rehearsed: true }), day(20, { rehearsed: true }), day(21), day(22)];
    const plan = planRetention(backups, policy, now, guards);
    expect(plan.keep.map(({ id }) => id)).toEqual([day(22).id, day(20).id]);
    expect(plan.keep[1]?.reasons).toEqual(['newest that was restored as a test']);
  });

  test('keeps the newest that was restored whole, where a newer one was restored in part', () => {
    const whole = { rehearsed: true, rehearsedWhole: true };
    const part = { rehearsed: true };
    const backups = [day(18, whole), day(19, whole), day(20, part), day(21, part), day(22)];
    const plan = planRetention(backups, policy, now, guards);
    expect(plan.keep.map(({ id }) => id)).toEqual([day(22).id, day(21).id, day(19).id]);
    expect(plan.keep[2]?.reasons).toEqual(['newest that was restored as a test whole']);
  });

  test('keeps what could not be read, and never in the place of a good one', () => {
    const backups = [day(19), day(20, { verified: false, unreadable: true }), day(21), day(22)];
    const plan = planRetention(backups, { ...policy, last: 2 }, now, guards);
    expect(plan.keep.map(({ id }) => id)).toEqual([day(22).id, day(21).id, day(20).id]);
    expect(plan.keep.at(-1)?.reasons).toEqual(['could not be read the last time']);
    const newest = planRetention([day(20), day(22, { unreadable: true })], policy, now, guards);
    expect(newest.held).toContain('could not be read');
  });

  test('removes nothing while the newest is known to be bad', () => {
    const plan = planRetention([day(20), day(22, { bad: true })], policy, now, guards);
    expect(plan.remove).toEqual([]);
    expect(plan.held).toContain('did not pass its verification');
    const older = planRetention([day(20, { bad: true }), day(22)], policy, now, guards);
    expect(older.remove.map(({ id }) => id)).toEqual([day(20).id]);
  });
});
