import { CLOCK_TOLERANCE_MS, isAhead } from '../archive/newest.ts';
import type { KeepPolicy } from '../config/config.ts';
import { type Period, periodName, periodNumber } from './periods.ts';

/** What retention has to know of a backup that is listed, and thus complete. */
export interface RetentionBackup {
  readonly id: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** Its latest verification went well. */
  readonly verified: boolean;
  /** It was restored into a scratch database and found whole. */
  readonly rehearsed?: boolean;
  /** And nothing of it was left out there. */
  readonly rehearsedWhole?: boolean;
  /** A verification has shown that it is not good. */
  readonly bad?: boolean;
  /** Its file could not be read the last time. */
  readonly unreadable?: boolean;
  /** It lies in the remote store too; ignored unless `requireUploaded`. */
  readonly uploaded: boolean;
}

export interface RetentionGuards {
  /** The last run failed: then nothing is removed at all. */
  readonly lastRunFailed: boolean;
  /** A remote store is configured: what isn't uploaded yet stays. */
  readonly requireUploaded: boolean;
  /** Milliseconds between two runs, by the schedule: no run makes what is older age by more. */
  readonly usualGapMs: number;
}

export interface RetentionPlan {
  /** Newest first. */
  readonly keep: readonly KeptBackup[];
  /** Oldest first: that is the order in which they are removed. */
  readonly remove: readonly RemovedBackup[];
  /** Why nothing is removed whatever the policy says; absent in the usual case. */
  readonly held?: string;
}

export interface KeptBackup {
  readonly id: string;
  /** Never empty, for example `last 1 of 3`, `daily 2026-11-22`, `not uploaded yet`. */
  readonly reasons: readonly string[];
}

export interface RemovedBackup {
  readonly id: string;
  readonly reason: string;
}

const PERIODS: readonly Period[] = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'];
const DAY_MS = 86_400_000;

const AHEAD = 'dated ahead of the clock';

type Dated = RetentionBackup & { readonly at: Date };

/**
 * Decides what stays and what goes; touches nothing. Rules add up, as restic's `forget` has it:
 * each rule walks from the newest backup back and keeps the newest of each period until its count
 * is used up; where it isn't, the oldest backup stays too. Periods are in UTC.
 *
 * `days` counts from the newest backup, not from now, and only time in which backups were made: of two
 * that lie further apart than the schedule has it, as far as the schedule has it. So neither a pause
 * nor a clock that jumped ahead costs any: no run takes more than one does on any other day.
 *
 * A backup that a verification found bad takes no good one's place: good ones are kept as if it were
 * not there, and it stays for as long as it would if it were good, to be looked at. So does one that
 * could not be read the last time, and it stays until it could be: nothing says that it is bad.
 *
 * A backup that is dated ahead of the clock stays, and the others are planned as if it were not there:
 * so a clock that went back removes nothing that it would have kept, and one run under a clock that was
 * ahead doesn't end retention for years.
 *
 * Only where one that is dated ahead is in doubt itself nothing is removed, as if it were the newest.
 *
 * Whatever the policy: the newest backup, the newest verified and the newest rehearsed one stay (where
 * that rehearsal left something out, also the newest of which none did), and
 * where a guard doubts the last run or the newest backup, everything stays and `held` says why. A policy of zeros removes
 * nothing.
 */
export function planRetention(
  backups: readonly RetentionBackup[],
  policy: KeepPolicy,
  now: Date,
  guards: RetentionGuards,
): RetentionPlan {
  const newestFirst = backups.map((backup) => ({ ...backup, at: new Date(backup.createdAt) }));
  newestFirst.sort((a, b) => b.at.getTime() - a.at.getTime() || (a.id < b.id ? 1 : -1));
  const usual = newestFirst.filter(({ at }) => !isAhead(at, now));
  const held = reasonToHold(newestFirst, usual, policy, guards);
  if (held !== undefined) {
    return { keep: newestFirst.map(({ id }) => ({ id, reasons: [held] })), remove: [], held };
  }
  const reasons = reasonsToKeep(usual, policy, guards);
  for (const { id, at } of newestFirst) {
    if (isAhead(at, now)) reasons.set(id, [AHEAD]);
  }
  const keep = newestFirst.filter(({ id }) => reasons.has(id));
  const remove = newestFirst.filter(({ id }) => !reasons.has(id)).reverse();
  return {
    keep: keep.map(({ id }) => ({ id, reasons: reasons.get(id) ?? [] })),
    remove: remove.map(({ id }) => ({ id, reason: 'no rule keeps it' })),
  };
}

function reasonToHold(
  newestFirst: readonly Dated[],
  usual: readonly Dated[],
  policy: KeepPolicy,
  guards: RetentionGuards,
): string | undefined {
  if (guards.lastRunFailed) return 'the last run failed';
  if (new Set(newestFirst.map(({ id }) => id)).size !== newestFirst.length) {
    return 'two backups have the same id';
  }
  const unreadable = newestFirst.find(({ at }) => Number.isNaN(at.getTime()));
  if (unreadable) return `the time of ${unreadable.id} cannot be read`;
  if (isEmpty(policy)) return 'no retention rule is set';
  // One that is dated ahead may be the newest of all, under a clock that was set back.
  const newest = newestFirst.slice(0, newestFirst.length - usual.length + 1);
  const bad = newest.find((backup) => backup.bad);
  if (bad) return `the newest backup, ${bad.id}, did not pass its verification`;
  const unread = newest.find((backup) => backup.unreadable);
  if (unread) return `the newest backup, ${unread.id}, could not be read`;
  return undefined;
}

function isEmpty(policy: KeepPolicy): boolean {
  return !(policy.last > 0 || policy.days > 0 || PERIODS.some((period) => policy[period] > 0));
}

function reasonsToKeep(
  newestFirst: readonly Dated[],
  policy: KeepPolicy,
  guards: RetentionGuards,
): Map<string, string[]> {
  const reasons = new Map<string, string[]>();
  const keep = ({ id }: RetentionBackup, reason: string) => {
    const known = reasons.get(id);
    if (known) known.push(reason);
    else reasons.set(id, [reason]);
  };
  const isGood = ({ bad, unreadable }: RetentionBackup) => !bad && !unreadable;
  applyRules(newestFirst.filter(isGood), policy, guards, keep);
  applyRules(newestFirst, policy, guards, (backup, reason) => {
    if (!isGood(backup)) keep(backup, `${reason}, though ${backup.bad ? 'bad' : 'unreadable'}`);
  });
  for (const backup of newestFirst) {
    if (backup.unreadable) keep(backup, 'could not be read the last time');
  }
  return reasons;
}

function applyRules(
  newestFirst: readonly Dated[],
  policy: KeepPolicy,
  guards: RetentionGuards,
  keep: (backup: RetentionBackup, reason: string) => void,
): void {
  const [newest] = newestFirst;
  if (!newest) return;
  keep(newest, 'newest');
  const verified = newestFirst.find((backup) => backup.verified);
  if (verified) keep(verified, 'newest verified');
  const rehearsed = newestFirst.find((backup) => backup.rehearsed);
  if (rehearsed) keep(rehearsed, 'newest that was restored as a test');
  const whole = newestFirst.find((backup) => backup.rehearsedWhole);
  if (whole && whole !== rehearsed) keep(whole, 'newest that was restored as a test whole');
  let ageMs = 0;
  let later = newest;
  for (const [index, backup] of newestFirst.entries()) {
    const gapMs = later.at.getTime() - backup.at.getTime();
    ageMs += Math.min(gapMs, guards.usualGapMs + CLOCK_TOLERANCE_MS);
    later = backup;
    if (index < policy.last) keep(backup, `last ${index + 1} of ${policy.last}`);
    if (ageMs < policy.days * DAY_MS) keep(backup, `within ${policy.days} days`);
    if (guards.requireUploaded && !backup.uploaded) keep(backup, 'not uploaded yet');
  }
  for (const period of PERIODS) keepByPeriod(newestFirst, period, policy[period], keep);
}

function keepByPeriod(
  newestFirst: readonly Dated[],
  period: Period,
  count: number,
  keep: (backup: RetentionBackup, reason: string) => void,
): void {
  let left = count;
  let latest: number | undefined;
  for (const [index, backup] of newestFirst.entries()) {
    if (left <= 0) return;
    const number = periodNumber(period, backup.at);
    const isOldest = index === newestFirst.length - 1;
    if (number === latest && !isOldest) continue;
    const name = periodName(period, backup.at);
    keep(backup, number === latest ? `oldest (${period} not full)` : `${period} ${name}`);
    latest = number;
    left--;
  }
}
