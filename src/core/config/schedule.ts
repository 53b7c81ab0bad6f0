import { Cron } from 'croner';
import { messageOf } from '../runtime/errors.ts';
import type { Schedule } from './config.ts';
import type { Environment } from './environment.ts';
import { read } from './reader.ts';
import { integer } from './values.ts';

const YEAR_S = 366 * 86_400;

export function readSchedule(environment: Environment): Schedule {
  const every: Schedule = {
    kind: 'interval',
    seconds: read(environment, 'BACKUP_INTERVAL_SECONDS', integer(1, YEAR_S, 'seconds')),
  };
  const expression = environment.get('BACKUP_CRON')?.trim();
  if (!expression) return every;
  if (environment.get('BACKUP_INTERVAL_SECONDS') !== undefined) {
    environment.problem(
      'BACKUP_CRON',
      'and BACKUP_INTERVAL_SECONDS are both set',
      'keep one of the two.',
    );
  }
  return readCron(environment, 'BACKUP_CRON', expression);
}

type CronSchedule = Extract<Schedule, { kind: 'cron' }>;

/** A cron expression in the time zone TZ. */
export function readCron(
  environment: Environment,
  name: 'BACKUP_CRON' | 'BACKUP_VERIFY_CRON',
  expression: string,
): CronSchedule {
  const timeZone = environment.get('TZ')?.trim();
  const isKnown = !timeZone || isTimeZone(timeZone);
  const isTold = environment.problems.some(({ variable }) => variable === 'TZ');
  if (!isKnown && !isTold) {
    environment.problem(
      'TZ',
      `is not a time zone: ${JSON.stringify(timeZone.slice(0, 60))}`,
      'write a name like Europe/Berlin or UTC.',
    );
  }
  checkExpression(environment, name, expression, isKnown ? timeZone : undefined);
  return { kind: 'cron', expression, ...(timeZone ? { timeZone } : {}) };
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function checkExpression(
  environment: Environment,
  name: 'BACKUP_CRON' | 'BACKUP_VERIFY_CRON',
  expression: string,
  timeZone?: string,
): void {
  const hint = 'write five fields, minute hour day month weekday: 0 3 * * * is every day at 03:00.';
  try {
    const cron = new Cron(expression, {
      paused: true,
      ...(timeZone ? { timezone: timeZone } : {}),
    });
    if (cron.nextRun() === null) {
      environment.problem(name, 'names a time that never comes', hint);
    }
  } catch (error) {
    const reason = messageOf(error).replace(/^CronPattern: /, '');
    environment.problem(name, `is not a cron expression: ${reason}`, hint);
  }
}
