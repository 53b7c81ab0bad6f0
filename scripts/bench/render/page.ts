import { GOALS, type Verdict } from '../goals.ts';
import type { Machine } from '../machine.ts';
import { SERVER_SETTINGS } from '../postgres-server.ts';
import { Figures, groupOf, type Results } from '../results.ts';
import { median, type Series } from '../series.ts';

/** Above this other work may have been measured with ours. */
const CALM_LOAD = 0.5;

/** docs/benchmarks.md. `charts`: names of files beside the figures, with their titles. */
export function renderPage(
  all: readonly Results[],
  charts: readonly { readonly file: string; readonly title: string }[],
): string {
  const newest = all.toSorted((a, b) => a.measuredAt.localeCompare(b.measuredAt)).at(-1);
  return [
    '# Benchmarks',
    '',
    'Written by `npm run bench`, which measures everything on this page side by side in one run, on',
    'databases that it builds itself. Medians; everyone has a turn in each round, there and back. No figure is a promise:',
    'run it on your machine. What was tried, and why the defaults are what they are:',
    '[performance.md](performance.md).',
    '',
    ...(newest ? machineText(newest.machine) : []),
    ...all.flatMap(sizeText),
    '## Against the goals',
    '',
    ...goalTable(all),
    '',
    ...charts.flatMap(({ file, title }) => [`![${title}](benchmarks/${file})`, '']),
    ...all.flatMap(seriesText),
    '## How it is measured',
    '',
    ...METHOD,
    '',
  ].join('\n');
}

const METHOD = [
  '- A backup takes from its lock to its listing: counted, checksummed, durable (`fsync`), read back whole. The',
  '  scripts beside it do none of that. *Without read-back* is the dump step alone; neither it nor the limit is durable then.',
  '- A backup of ours is compressed by at least as much as what it is compared with, where the table says that it is no larger.',
  '- A restore takes from the settled drop to the application running again: read whole, staged, checked,',
  '  swapped. It ends when the engine has it running, on both sides; downtime runs from *stop confirmed* to *start sent*,',
  '  stop and start are apart. The replaced database and the file are removed after each turn, which a user has for a day.',
  `- The server runs in a container (without a Docker engine, what is installed does) as it comes, save ${SERVER_SETTINGS.map((name) => `\`${name}\``).join(', ')}. It is`,
  '  on the same machine: its work and that of the clients share the processors, on both sides.',
  '- Before each turn there is a checkpoint and a `sync`. Up to 2 GB everything fits into the page cache.',
  '- The S3 endpoint is Ceph on the same machine, which takes processor time of its own.',
  '- CPU is what the whole machine spent, server and endpoint included (what runs with `nice` is not).',
  "- Memory is the daemon's; *withHelpersMb* adds the processes of Node that it had beside it, not the programs of PostgreSQL.",
];

function machineText(machine: Machine): string[] {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    '## The machine',
    '',
    `${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB of memory, ${machine.system}. ${versions.join(', ')}.`,
    '',
  ];
}

function sizeText({
  size,
  database,
  measuredAt,
  machine,
  leftOut,
  series,
  note,
}: Results): string[] {
  const repetitions = Math.max(0, ...series.map(({ samples }) => samples.length));
  const facts = database
    ? `${Math.round(database.bytes / 1e6)} MB in ${database.tables} tables, ${database.rows} rows, the largest table ${Math.round(database.largest * 100)}% of it`
    : 'no PostgreSQL database';
  const { loadBefore = 0 } = machine;
  const load =
    loadBefore > CALM_LOAD
      ? ` **The machine was busy (${loadBefore.toFixed(1)} cores): these figures are doubtful.**`
      : '';
  const missing = leftOut.map((why) => `- left out: ${why}`);
  return [
    `**${size}**: ${facts}; ${repetitions} ${repetitions === 1 ? 'repetition' : 'repetitions'}, ${measuredAt.slice(0, 10)}.${load}`,
    '',
    ...missing,
    ...(missing.length > 0 ? [''] : []),
    ...otherRuns(series, measuredAt),
    ...(note === undefined ? [] : [note, '']),
  ];
}

/** What the last run didn't measure anew, and when it was. */
function otherRuns(series: readonly Series[], last: string): string[] {
  const others = series.filter(({ run }) => run !== undefined && run !== last);
  const runs = Map.groupBy(others, ({ run = '' }) => run);
  return [...runs].flatMap(([run, members]) => {
    const what = [...Map.groupBy(members, ({ id }) => groupOf(id))].map(([group, measured]) => {
      const all = series.filter(({ id }) => groupOf(id) === group).length;
      const names = measured.map(({ name }) => `\`${name}\``).join(', ');
      return measured.length === all ? titleOf(group) : `${titleOf(group)} (${names})`;
    });
    return [`Of another run (${run.slice(0, 16).replace('T', ' ')} UTC): ${what.join('; ')}.`, ''];
  });
}

function verdictText({ measured, isMet }: Verdict): string {
  if (isMet === undefined) return measured;
  return `${measured}: ${isMet ? 'met' : '**not met**'}`;
}

function goalTable(all: readonly Results[]): string[] {
  const figures = all.map((results) => new Figures(results));
  const sizes = all.map(({ size }) => size);
  const rows = GOALS.map(({ what, against, goal, judge }) => {
    const verdicts = figures.map((one) => judge(one));
    if (verdicts.every((verdict) => verdict === undefined)) return undefined;
    const cells = verdicts.map((verdict) => (verdict ? verdictText(verdict) : '–'));
    return `| ${[what, against, goal, ...cells].join(' | ')} |`;
  });
  return [
    `| ${['what', 'against', 'goal', ...sizes].join(' | ')} |`,
    `|${'---|'.repeat(3 + sizes.length)}`,
    ...rows.filter((row) => row !== undefined),
  ];
}

const TITLES: Readonly<Record<string, string>> = {
  backup: 'Backup',
  'one-core': 'Backup, everything on one core',
  encrypted: 'Encrypted backup',
  upload: 'Backup to S3',
  held: 'Backup to S3, held to 50 MB/s',
  restore: 'Restore',
  sqlite: 'SQLite',
  daemons: 'The daemons, idle',
  neighbours: 'An application beside it',
  shapes: 'Forms of a dump',
};

export function titleOf(group: string): string {
  return TITLES[group] ?? group;
}

function seriesText({ size, series }: Results): string[] {
  const groups = Object.keys(TITLES).filter((group) =>
    series.some(({ id }) => groupOf(id) === group),
  );
  return groups.flatMap((group) => {
    const members = series.filter(({ id }) => groupOf(id) === group);
    return [`## ${titleOf(group)}, ${size}`, '', ...seriesTable(members), ''];
  });
}

function seriesTable(members: readonly Series[]): string[] {
  return [
    '| | seconds (median) | least – most | CPU, s | MB | parts |',
    '|---|---|---|---|---|---|',
    ...members.map(({ name, samples }) => {
      const seconds = samples.map((sample) => sample.seconds);
      const cpu = median(samples.map(({ cpuSeconds = Number.NaN }) => cpuSeconds));
      const bytes = median(samples.map((sample) => sample.bytes ?? Number.NaN));
      const cells = [
        `\`${name}\``.replaceAll('|', '\\|'),
        median(seconds).toFixed(2),
        `${Math.min(...seconds).toFixed(2)} – ${Math.max(...seconds).toFixed(2)}`,
        Number.isNaN(cpu) ? '' : cpu.toFixed(1),
        Number.isNaN(bytes) ? '' : (bytes / 1e6).toFixed(1),
        partsText(samples),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  ];
}

function partsText(samples: Series['samples']): string {
  const names = new Set(samples.flatMap(({ facts = {} }) => Object.keys(facts)));
  return [...names]
    .map((name) => {
      const value = median(samples.map(({ facts }) => facts?.[name] ?? Number.NaN));
      return `${name} ${value.toFixed(2)}`;
    })
    .join(', ');
}
