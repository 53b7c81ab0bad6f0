import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

/** In the order in which they are measured. */
export const GROUPS = [
  'backup',
  'one-core',
  'encrypted',
  'upload',
  'restore',
  'sqlite',
  'daemons',
] as const;
/** Only when asked for: they answer questions of design. */
export const STUDIES = ['shapes', 'neighbours'] as const;
export type Group = (typeof GROUPS)[number] | (typeof STUDIES)[number];

export interface BenchOptions {
  /** Of the databases. */
  readonly megabytes: number;
  /** As it was asked for: names the file of results. */
  readonly size: string;
  /** Of pg_dump -Fd and pg_restore, of those that ours is measured against. */
  readonly jobs: number;
  /** Of ours, where it was asked for; without it the default is what is measured. */
  readonly ourJobs?: number;
  readonly repetitions: number;
  readonly only: readonly Group[];
  /** What the ids of contestants begin with; none: all of them. */
  readonly contestants: readonly string[];
  /** Folder of benchmarks.md, its charts and its figures. */
  readonly out: string;
  /** Writes the page from the figures that there are, and measures nothing. */
  readonly render: boolean;
}

export const USAGE = `npm run bench -- [options]
  --size SIZE          of the databases: 200MB, 2GB (default), 10GB
  --jobs N             of pg_dump -Fd and pg_restore (default: one a processor), and BACKUP_JOBS (default: not set)
  --only GROUP         ${GROUPS.join(', ')}; ${STUDIES.join(', ')} (may be given several times)
  --contestant ID      of these groups only those whose id begins so: restore/own (may be given several times)
  --repetitions N      of each measurement (default 3); the median counts
  --out FOLDER         default docs/
  --render             writes the page again from the figures of earlier runs`;

/** Throws a TypeError that says what is wrong. */
export function readOptions(args: readonly string[], defaultOut: string): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: '2GB' },
      jobs: { type: 'string' },
      only: { type: 'string', multiple: true, default: [...GROUPS] },
      contestant: { type: 'string', multiple: true, default: [] },
      repetitions: { type: 'string', default: '3' },
      out: { type: 'string', default: defaultOut },
      render: { type: 'boolean', default: false },
    },
  });
  const known: readonly string[] = [...GROUPS, ...STUDIES];
  const only = values.only.flatMap((value) => value.split(','));
  const unknown = only.filter((group) => !known.includes(group));
  if (unknown.length > 0) throw new TypeError(`unknown group: ${unknown.join(', ')}`);
  const ourJobs = values.jobs === undefined ? undefined : atLeastOne('--jobs', values.jobs);
  return {
    megabytes: megabytesOf(values.size),
    size: values.size,
    jobs: ourJobs ?? availableParallelism(),
    ...(ourJobs === undefined ? {} : { ourJobs }),
    repetitions: atLeastOne('--repetitions', values.repetitions),
    only: only as Group[],
    contestants: values.contestant,
    out: values.out,
    render: values.render,
  };
}

function megabytesOf(size: string): number {
  const [, digits = '', unit = ''] = /^(\d+)\s*(MB|GB)$/i.exec(size) ?? [];
  const megabytes = Number(digits) * (unit.toUpperCase() === 'GB' ? 1000 : 1);
  if (megabytes > 0) return megabytes;
  throw new TypeError(`--size ${size}: a number with MB or GB, for example 200MB`);
}

function atLeastOne(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new TypeError(`${name} ${text}: a whole number above 0`);
}
