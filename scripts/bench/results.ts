import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Machine } from './machine.ts';
import type { DatabaseFacts } from './postgres-data.ts';
import { median, type Series } from './series.ts';

/** The figures of one size: `benchmarks/<size>.json` beside the page. */
export interface Results {
  readonly size: string;
  /** When the run began that the rest of this is of. */
  readonly measuredAt: string;
  readonly jobs: number;
  readonly machine: Machine;
  readonly database?: DatabaseFacts;
  readonly series: readonly Series[];
  readonly leftOut: readonly string[];
  /** Written by hand: what readers should know of these figures. Another run drops it. */
  readonly note?: string;
}

const FOLDER = 'benchmarks';

export function figuresFolder(out: string): string {
  return join(out, FOLDER);
}

/** What an earlier run measured of others stays; what was measured anew replaces it. */
export async function saveResults(out: string, results: Results): Promise<void> {
  const folder = figuresFolder(out);
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${results.size}.json`);
  const before = (await readResults(out)).find(({ size }) => size === results.size);
  const measured = new Set(results.series.map(({ id }) => id));
  const kept = (before?.series ?? []).filter(({ id }) => !measured.has(id));
  const database = results.database ?? before?.database;
  const note = before?.measuredAt === results.measuredAt ? before.note : undefined;
  const versions = { ...before?.machine.versions, ...results.machine.versions };
  const whole: Results = {
    ...results,
    machine: { ...results.machine, versions },
    ...(database ? { database } : {}),
    series: [...kept, ...results.series.map((one) => ({ ...one, run: results.measuredAt }))],
    ...(note === undefined ? {} : { note }),
  };
  await writeFile(path, `${JSON.stringify(whole, round, 1)}\n`);
}

/** Of all sizes, the smallest database first. */
export async function readResults(out: string): Promise<Results[]> {
  const names = await readdir(figuresFolder(out)).catch(() => []);
  const files = names.filter((name) => name.endsWith('.json'));
  const texts = await Promise.all(
    files.map((name) => readFile(join(figuresFolder(out), name), 'utf8')),
  );
  const all = texts.map((text) => JSON.parse(text) as Results);
  return all.toSorted((a, b) => (a.database?.bytes ?? 0) - (b.database?.bytes ?? 0));
}

/** Looks figures up by the ids of contestants. */
export class Figures {
  readonly #series: ReadonlyMap<string, Series>;

  constructor({ series }: Pick<Results, 'series'>) {
    this.#series = new Map(series.map((one) => [one.id, one]));
  }

  has(...ids: readonly string[]): boolean {
    return ids.every((id) => (this.#series.get(id)?.samples.length ?? 0) > 0);
  }

  /** Median of the seconds. */
  seconds(id: string): number {
    return median(this.#samples(id).map(({ seconds }) => seconds));
  }

  /** Of processor time, the server's included. */
  cpuSeconds(id: string): number {
    return median(this.#samples(id).map(({ cpuSeconds = Number.NaN }) => cpuSeconds));
  }

  bytes(id: string): number {
    return median(this.#samples(id).map(({ bytes = Number.NaN }) => bytes));
  }

  fact(id: string, name: string): number {
    return median(this.#samples(id).map(({ facts }) => facts?.[name] ?? Number.NaN));
  }

  /** The worst of all repetitions. */
  worst(id: string, name: string): number {
    const all = this.#samples(id).map(({ facts }) => facts?.[name] ?? Number.NaN);
    return all.length > 0 ? Math.max(...all) : Number.NaN;
  }

  #samples(id: string): Series['samples'] {
    return this.#series.get(id)?.samples ?? [];
  }
}

export function groupOf(id: string): string {
  return id.slice(0, id.indexOf('/'));
}

function round(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toFixed(4)) : value;
}
