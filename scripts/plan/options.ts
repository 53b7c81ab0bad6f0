import { parseArgs } from 'node:util';
import type { Site } from './site.ts';

export interface PlanOptions {
  readonly site: Site;
  readonly jobs: readonly number[];
  /** How many such databases one daemon has, and how many it backs up at the same time. */
  readonly databases: number;
  readonly atOnce: number;
}

export const USAGE = `npm run plan -- [options]
  --size SIZE        of the database (default 1TB): 200GB, 10TB
  --tables N         default 500
  --largest PERCENT  the largest table's part of it (default 70)
  --jobs N,N         BACKUP_JOBS to look at (default 1,2,4,8,16)
  --cores N          of server and db-backup together (default 16)
  --disk MB/S        what the backup volume reads and writes (default 500)
  --line MB/S        to the bucket (default 100; 0: no S3)
  --churn PERCENT    rows that are replaced or deleted in an hour (default 1)
  --databases N      such databases in one daemon (default 1)
  --at-once N        BACKUP_AT_ONCE (default 2)`;

const UNITS: Readonly<Record<string, number>> = { MB: 1e6, GB: 1e9, TB: 1e12 };

/** Throws a TypeError that says what is wrong. */
export function readPlanOptions(args: readonly string[]): PlanOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: '1TB' },
      tables: { type: 'string', default: '500' },
      largest: { type: 'string', default: '70' },
      jobs: { type: 'string', default: '1,2,4,8,16' },
      cores: { type: 'string', default: '16' },
      disk: { type: 'string', default: '500' },
      line: { type: 'string', default: '100' },
      churn: { type: 'string', default: '1' },
      databases: { type: 'string', default: '1' },
      'at-once': { type: 'string', default: '2' },
    },
  });
  const line = amount('--line', values.line);
  return {
    site: {
      bytes: bytesOf(values.size),
      tables: count('--tables', values.tables),
      largest: percent('--largest', values.largest),
      cores: count('--cores', values.cores),
      disk: above0('--disk', values.disk) * 1e6,
      ...(line === 0 ? {} : { line: line * 1e6 }),
      churn: percent('--churn', values.churn),
    },
    jobs: values.jobs.split(',').map((value) => count('--jobs', value)),
    databases: count('--databases', values.databases),
    atOnce: count('--at-once', values['at-once']),
  };
}

function bytesOf(size: string): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([MGT]B)$/i.exec(size) ?? [];
  const bytes = Number(digits) * (UNITS[unit.toUpperCase()] ?? 0);
  if (bytes > 0) return bytes;
  throw new TypeError(`--size ${size}: a number with MB, GB or TB, for example 1TB`);
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new TypeError(`${name} ${text}: a whole number above 0`);
}

function amount(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return value;
  throw new TypeError(`${name} ${text}: a number, 0 or more`);
}

function above0(name: string, text: string): number {
  const value = amount(name, text);
  if (value > 0) return value;
  throw new TypeError(`${name} ${text}: a number above 0`);
}

function percent(name: string, text: string): number {
  const value = amount(name, text);
  if (value <= 100) return value / 100;
  throw new TypeError(`${name} ${text}: at most 100`);
}
