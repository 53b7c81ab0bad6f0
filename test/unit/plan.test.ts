import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Figures, readResults } from '../../scripts/bench/results.ts';
import { readPlanOptions } from '../../scripts/plan/options.ts';
import { type Rates, readRates } from '../../scripts/plan/rates.ts';
import { planReport, whatBreaks } from '../../scripts/plan/report.ts';
import { simulateBackup } from '../../scripts/plan/simulate-backup.ts';
import { type Site, tableSizes } from '../../scripts/plan/site.ts';

const MB = 1e6;
/** A database whose every byte is dumped, at round figures. */
const rates: Rates = {
  plainPerByte: 1,
  archivePerPlain: 0.5,
  jobPlainPerSecond: 100 * MB,
  streamPlainPerSecond: 80 * MB,
  dumpCpuPerPlain: 1 / (50 * MB),
  streamCpuPerPlain: 1 / (40 * MB),
  readBackCpuPerArchive: 1 / (200 * MB),
  perTable: 0,
  perBackup: 0,
  restorePerByte: 1 / (100 * MB),
};
const site: Site = { bytes: 1000 * MB, tables: 4, largest: 0.25, cores: 64, disk: 1e12, churn: 0 };

/** Two tables of 500 MB. */
const equal: Site = { ...site, tables: 2, largest: 0.5 };

describe('a simulated backup', () => {
  test('is as fast as its jobs, until cores or disk are used up', () => {
    const snapshot = (jobs: number, with_: Partial<Site> = {}) =>
      simulateBackup({ ...equal, ...with_ }, jobs, rates).snapshot;
    expect(snapshot(2)).toBeCloseTo(5);
    expect(snapshot(8)).toBeCloseTo(5);
    expect(snapshot(2, { cores: 2 })).toBeCloseTo(10);
    // A folder passes over the disk three times: 3 * 500 MB.
    expect(snapshot(2, { disk: 100 * MB })).toBeCloseTo(15);
    expect(snapshot(1)).toBeCloseTo(12.5);
  });

  test('is never faster than its largest table', () => {
    const { snapshot } = simulateBackup({ ...site, tables: 100, largest: 0.7 }, 16, rates);
    expect(snapshot).toBeCloseTo(7);
  });

  test('reads one file back by one core', () => {
    const { snapshot, readBack, listed } = simulateBackup(equal, 2, rates);
    expect(readBack - snapshot).toBeCloseTo(1.25);
    expect(listed).toBe(readBack);
  });

  test('sends what is done, in parts, while the rest is dumped', () => {
    const sent = (jobs: number, line: number) =>
      simulateBackup({ ...equal, line }, jobs, rates).uploaded ?? 0;
    // Both tables are done at the end, all of it goes then; a stream grows from the beginning.
    expect(sent(2, 100 * MB)).toBeCloseTo(10, 0);
    expect(sent(1, 100 * MB)).toBeCloseTo(12.6, 0);
    expect(sent(1, 10 * MB)).toBeCloseTo(50.1, 0);
  });

  test('tells what it needs and what it holds up', () => {
    const backup = simulateBackup({ ...equal, churn: 0.36 }, 2, rates);
    expect(backup).toMatchObject({ archiveBytes: 500 * MB, roomBytes: 1000 * MB });
    expect(backup.deadRows).toBeCloseTo(0.0005);
    expect(whatBreaks(backup)).toEqual([]);
    const huge = simulateBackup({ ...equal, bytes: 20e12 }, 2, rates);
    expect(whatBreaks(huge)).toEqual(['BACKUP_TIMEOUT_SECONDS', "S3's largest object"]);
  });

  test('has tables that are the database together, the largest first', () => {
    const sizes = tableSizes({ ...site, tables: 50, largest: 0.3 });
    expect(sizes).toHaveLength(50);
    expect(sizes[0]).toBe(300 * MB);
    expect(sizes.reduce((sum, size) => sum + size)).toBeCloseTo(1000 * MB, 0);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  });
});

test('what is simulated is what was measured, to a quarter', async () => {
  const results = await readResults(join(import.meta.dirname, '../../docs'));
  const measured = results.filter(({ size }) => size === '2GB' || size === '10GB');
  expect(measured).toHaveLength(2);
  for (const one of measured) {
    const { bytes = 0, tables = 0, largest = 0 } = one.database ?? {};
    const like = { bytes, tables, largest, cores: one.machine.cores, disk: 2e9, churn: 0 };
    const ratio =
      simulateBackup(like, 2, readRates(results)).listed /
      new Figures(one).seconds('backup/dropback');
    expect(ratio).toBeGreaterThan(0.75);
    expect(ratio).toBeLessThan(1.25);
  }
});

test('rates that were not measured are named', () => {
  expect(() => readRates([])).toThrow('there are no figures of 2GB');
  const machine = { processor: '', cores: 2, memoryGb: 8, system: '', freeDiskGb: 1, versions: {} };
  const database = { bytes: 2e9, rows: 1, tables: 1, largest: 1 };
  const empty = {
    size: '2GB',
    measuredAt: '',
    jobs: 2,
    machine,
    database,
    series: [],
    leftOut: [],
  };
  expect(() => readRates([empty])).toThrow(/plainPerByte, .*restorePerByte/);
});

describe('npm run plan', () => {
  test('tells a column for each number of jobs', () => {
    const options = readPlanOptions(['--size', '2TB', '--jobs', '2,8', '--databases', '10']);
    expect(options.site).toMatchObject({ bytes: 2e12, line: 100 * MB, largest: 0.7 });
    const lines = planReport(options, rates);
    expect(lines[0]).toBe('| BACKUP_JOBS | 2 | 8 |');
    expect(lines.join('\n')).toContain('10 of them, 2 at once');
  });

  test.each([
    ['--size', '2XB'],
    ['--cores', '0'],
    ['--largest', '120'],
    ['--line', 'fast'],
    ['--disk', '0'],
  ])('%s %s is refused in words', (name, value) => {
    expect(() => readPlanOptions([name, value])).toThrow(new RegExp(`^${name} ${value}: `));
  });
});
