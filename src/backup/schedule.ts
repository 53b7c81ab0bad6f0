import { Cron } from 'croner';
import { isAhead } from '../core/archive/newest.ts';
import type { Schedule } from '../core/config/config.ts';

export interface ScheduleFacts {
  readonly now: Date;
  /** When this daemon started. */
  readonly startedAt: Date;
  /** Snapshot time of the newest good backup. */
  readonly lastGood?: Date;
  /** When a run last began, whatever came of it; undefined before this daemon's first. */
  readonly lastAttempt?: Date;
  /** Runs that failed since the last good one. */
  readonly failures: number;
}

export interface ScheduleOptions {
  readonly schedule: Schedule;
  /** BACKUP_ON_START: catch up at start on what became due while the daemon was down. */
  readonly onStart: boolean;
}

const FIRST_RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 3_600_000;

/**
 * When the next run is due; a time in the past means now. A failed run is tried again after 1, 2,
 * 4 … minutes (an hour at most), never later than the next regular one.
 */
export function nextRun(options: ScheduleOptions, facts: ScheduleFacts): Date {
  const regular = nextRegularRun(options, facts);
  if (facts.failures === 0 || !facts.lastAttempt) return regular;
  const delay = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(facts.failures - 1, 10));
  const again = new Date(facts.lastAttempt.getTime() + delay);
  // After a failure the regular time is often in the past already: it must not cancel the delay.
  return regular > facts.lastAttempt && regular < again ? regular : again;
}

function nextRegularRun(options: ScheduleOptions, facts: ScheduleFacts): Date {
  const lastGood = plausible(facts.lastGood, facts.now);
  if (options.schedule.kind === 'interval') {
    const interval = options.schedule.seconds * 1000;
    if (lastGood) {
      const due = new Date(lastGood.getTime() + interval);
      const wentByWhileDown = due < facts.startedAt;
      if (options.onStart || !wentByWhileDown) return due;
    } else if (options.onStart) {
      return facts.startedAt;
    }
    return new Date(facts.startedAt.getTime() + interval);
  }
  const cron = cronOf(options.schedule);
  const since = lastGood ?? facts.startedAt;
  if (options.onStart && !lastGood) return facts.startedAt;
  const missed = cron.nextRun(since);
  if (missed && missed < facts.startedAt && !options.onStart) {
    return cron.nextRun(facts.startedAt) ?? never;
  }
  return missed ?? never;
}

/**
 * The time after which a database without a newer good backup counts as overdue: a run may take
 * `graceMs` (its time-out) after it was due. Once one has failed there is nothing to be patient for:
 * then it is the next regular time, where that is sooner.
 */
export function overdueAfter(
  { schedule }: ScheduleOptions,
  facts: ScheduleFacts,
  graceMs: number,
): Date {
  const since = plausible(facts.lastGood, facts.now) ?? facts.startedAt;
  const due = Math.max(regularAfter(schedule, since).getTime(), facts.startedAt.getTime());
  const latest = due + graceMs;
  if (facts.failures === 0) return new Date(latest);
  return new Date(Math.min(latest, regularAfter(schedule, new Date(due)).getTime()));
}

function regularAfter(schedule: Schedule, since: Date): Date {
  if (schedule.kind === 'cron') return cronOf(schedule).nextRun(since) ?? never;
  return new Date(since.getTime() + schedule.seconds * 1000);
}

const RUNS_LOOKED_AT = 20;

/** Milliseconds that pass at most between two runs that are on time, nights and weekends included. */
export function usualGap(schedule: Schedule, from: Date): number {
  if (schedule.kind === 'interval') return schedule.seconds * 1000;
  const runs = cronOf(schedule).nextRuns(RUNS_LOOKED_AT, from);
  const gaps = runs.slice(1).map((run, n) => run.getTime() - (runs[n] ?? run).getTime());
  // One that comes only once more has no gap: then age is what the clock says.
  return gaps.length > 0 ? Math.max(...gaps) : Number.POSITIVE_INFINITY;
}

/** The first time of a cron schedule after `since`. */
export function nextTime(schedule: { expression: string; timeZone?: string }, since: Date): Date {
  return cronOf(schedule).nextRun(since) ?? never;
}

/** A backup dated in the future tells of a clock that jumped; it must not hold up the next one. */
function plausible(lastGood: Date | undefined, now: Date): Date | undefined {
  return lastGood && !isAhead(lastGood, now) ? lastGood : undefined;
}

const never = new Date(8.64e15);

function cronOf(schedule: { expression: string; timeZone?: string }): Cron {
  const zone = schedule.timeZone === undefined ? {} : { timezone: schedule.timeZone };
  return new Cron(schedule.expression, { paused: true, ...zone });
}
