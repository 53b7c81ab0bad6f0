import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOALS } from '../../scripts/bench/goals.ts';
import { readOptions } from '../../scripts/bench/options.ts';
import { renderPage } from '../../scripts/bench/render/page.ts';
import { Figures, type Results, readResults, saveResults } from '../../scripts/bench/results.ts';
import { median, takeTurns } from '../../scripts/bench/series.ts';

function series(id: string, ...seconds: number[]) {
  return { id, name: id, samples: seconds.map((value) => ({ seconds: value, bytes: value * 10 })) };
}

function verdict(goal: string, what: string, ...all: ReturnType<typeof series>[]) {
  const found = GOALS.find((one) => one.goal === goal && one.what === what);
  return found?.judge(new Figures({ series: all }));
}

describe('the goals of the benchmark', () => {
  const gzip = series('backup/gzip', 9, 10, 50);

  test('compare medians, in words', () => {
    const fast = verdict('5 times faster or better', 'backup', series('backup/dropback', 2), gzip);
    expect(fast).toEqual({ measured: '5.00 times as fast', isMet: true });
    const slow = verdict('5 times faster or better', 'backup', series('backup/dropback', 4), gzip);
    expect(slow).toEqual({ measured: '2.50 times as fast', isMet: false });
  });

  test('say nothing where something was not measured', () => {
    for (const { judge } of GOALS) expect(judge(new Figures({ series: [] }))).toBeUndefined();
    const [dropback] = [series('backup/dropback', 1)];
    expect(verdict('no larger', 'backup, its size', dropback)).toBeUndefined();
  });

  test('stand in the table beside each size that has figures', () => {
    const machine = {
      processor: 'x',
      cores: 2,
      memoryGb: 8,
      system: 's',
      freeDiskGb: 1,
      versions: {},
    };
    const inPlace = { seconds: 9, facts: { downtimePerGb: 2.5 } };
    const results: Results = {
      size: '200MB',
      measuredAt: '2026-11-23T06:00:00Z',
      jobs: 2,
      machine: { ...machine, loadBefore: 3 },
      series: [
        series('backup/dropback', 4),
        gzip,
        { id: 'sqlite/restore-in-place', name: 'not WAL', samples: [inPlace] },
      ],
      leftOut: ['upload: rclone is not installed'],
    };
    const page = renderPage([results], [{ file: 'backup-200MB.svg', title: 'Backup' }]);
    expect(page).toContain(
      '| backup | `pg_dump \\| gzip` | 5 times faster or better | 2.50 times as fast: **not met** |',
    );
    expect(page).toContain('| stated | 2.50 s/GB |');
    expect(page).toContain('- left out: upload: rclone is not installed');
    expect(page).toContain('The machine was busy (3.0 cores)');
    expect(page).not.toContain('restore | stop');
  });
});

describe('figures of several runs', () => {
  const machine = {
    processor: 'x',
    cores: 2,
    memoryGb: 8,
    system: 's',
    freeDiskGb: 1,
    versions: {},
  };
  const results = (measuredAt: string, ...all: Results['series']): Results => ({
    size: '2GB',
    measuredAt,
    jobs: 2,
    machine,
    series: all,
    leftOut: [],
  });

  test('are told apart, and a note goes with the figures that it was written for', async () => {
    const out = await mkdtemp(join(tmpdir(), 'dropback-figures-'));
    try {
      const first = results('2026-11-23T06:00:00Z', gzipOf(9), series('shapes/stream-1', 3));
      await saveResults(out, { ...first, note: 'A slow hour.' });
      await saveResults(out, results(first.measuredAt, series('backup/dropback', 3)));
      const [sameRun] = await readResults(out);
      expect(sameRun).toMatchObject({ note: 'A slow hour.' });
      expect(sameRun?.series).toHaveLength(3);
      await saveResults(out, results('2026-11-24T07:30:00Z', series('backup/dropback', 2)));
      const [last] = await readResults(out);
      expect(last).not.toHaveProperty('note');
      expect(last?.series.find(({ id }) => id === 'backup/dropback')?.samples[0]?.seconds).toBe(2);
      const page = renderPage(last ? [last] : [], []);
      expect(page).toContain(
        'Of another run (2026-11-23 06:00 UTC): Backup (`backup/gzip`); Forms of a dump.',
      );
    } finally {
      await rm(out, { recursive: true });
    }
  });

  const gzipOf = (seconds: number) => series('backup/gzip', seconds);
});

test.each([
  [['--size', '200MB'], undefined],
  [['--size', '200MB', '--jobs', '4'], 4],
])('%j: ours has jobs only where they were asked for', (args, ours) => {
  const options = readOptions(args, 'docs');
  expect(options.ourJobs).toBe(ours);
  expect(options.jobs).toBe(ours ?? availableParallelism());
});

test('everyone has a turn in each round, there and back', async () => {
  const order: string[] = [];
  const contestant = (id: string) => ({
    id,
    name: id,
    run: async () => {
      order.push(id);
      return { seconds: order.length };
    },
  });
  const measured = await takeTurns([contestant('a'), contestant('b')], 2, () => {});
  expect(order).toEqual(['a', 'b', 'b', 'a']);
  expect(measured.map(({ samples }) => samples.map(({ seconds }) => seconds))).toEqual([
    [1, 4],
    [2, 3],
  ]);
});

test('the median of an even number is the mean of the middle two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([9, 1, 2])).toBe(2);
  expect(median([])).toBeNaN();
});

test('what is asked for wrongly is told', () => {
  expect(() => readOptions(['--size', '2'], 'docs')).toThrow(/--size 2: a number with MB or GB/);
  expect(() => readOptions(['--only', 'backups'], 'docs')).toThrow(/unknown group: backups/);
  expect(() => readOptions(['--jobs', '0'], 'docs')).toThrow(/--jobs 0/);
  expect(readOptions(['--size', '2gb', '--only', 'backup,restore'], 'docs')).toMatchObject({
    megabytes: 2000,
    only: ['backup', 'restore'],
  });
});
