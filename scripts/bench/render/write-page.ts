import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { figuresFolder, groupOf, type Results, readResults } from '../results.ts';
import { median, type Series } from '../series.ts';
import { type Bar, barChart } from './chart.ts';
import { renderPage, titleOf } from './page.ts';

const CHARTED = ['backup', 'upload', 'restore', 'sqlite'] as const;

/** Page and charts, from the figures of all sizes that there are. */
export async function writePage(out: string): Promise<void> {
  const all = await readResults(out);
  await mkdir(figuresFolder(out), { recursive: true });
  const charts: { file: string; title: string }[] = [];
  for (const results of all) {
    for (const group of CHARTED) {
      const bars = barsOf(results, group);
      if (bars.length === 0) continue;
      const chart = {
        file: `${group}-${results.size}.svg`,
        title: `${titleOf(group)}, ${results.size}`,
      };
      await writeFile(join(figuresFolder(out), chart.file), barChart(chart.title, bars));
      charts.push(chart);
    }
  }
  await writeFile(join(out, 'benchmarks.md'), renderPage(all, charts));
}

function barsOf({ series }: Results, group: string): Bar[] {
  return series.filter(({ id }) => groupOf(id) === group).map(barOf);
}

function barOf({ name, samples }: Series): Bar {
  const seconds = samples.map((sample) => sample.seconds);
  return {
    label: name,
    value: median(seconds),
    least: Math.min(...seconds),
    most: Math.max(...seconds),
    isOurs: name.startsWith('Dropback'),
  };
}
