import type { Figures } from './results.ts';

/** What a size has to say of a goal. */
export interface Verdict {
  readonly measured: string;
  /** Undefined where nothing was set as a goal: the figure is to be told. */
  readonly isMet?: boolean;
}

export interface Goal {
  readonly what: string;
  readonly against: string;
  readonly goal: string;
  /** Undefined where the figures don't say. */
  readonly judge: (figures: Figures) => Verdict | undefined;
}

/** How many times as long `slow` takes as `fast`. */
function times(figures: Figures, slow: string, fast: string): number {
  return figures.seconds(slow) / figures.seconds(fast);
}

function faster(what: string, against: string, ours: string, theirs: string, least: number): Goal {
  return {
    what,
    against,
    goal: least === 1 ? 'as fast or faster' : `${least} times faster or better`,
    judge: (figures) => {
      if (!figures.has(ours, theirs)) return undefined;
      const factor = times(figures, theirs, ours);
      return { measured: `${factor.toFixed(2)} times as fast`, isMet: factor >= least };
    },
  };
}

function within(
  what: string,
  against: string,
  most: number,
  ratio: (figures: Figures) => number,
): Goal {
  return {
    what,
    against,
    goal: `within ${most}`,
    judge: (figures) => {
      const measured = ratio(figures);
      if (Number.isNaN(measured)) return undefined;
      return { measured: measured.toFixed(2), isMet: measured <= most };
    },
  };
}

function atMost(
  what: string,
  goal: string,
  most: number,
  unit: string,
  value: (figures: Figures) => number,
): Goal {
  return {
    what,
    against: '–',
    goal,
    judge: (figures) => {
      const measured = value(figures);
      if (Number.isNaN(measured)) return undefined;
      const digits = measured < 10 ? 2 : 0;
      return { measured: `${measured.toFixed(digits)} ${unit}`, isMet: measured <= most };
    },
  };
}

/** Before anything of it is made durable, on both sides. */
function dumped(figures: Figures, id: string): number {
  return figures.fact(id, 'dump');
}

/** As equal as compression can be told apart by. */
const EQUAL = 1.005;

function noLarger(what: string, against: string, ours: string, theirs: string): Goal {
  return {
    what: `${what}, its size`,
    against,
    goal: 'no larger',
    judge: (figures) => {
      if (!figures.has(ours, theirs)) return undefined;
      const ratio = figures.bytes(ours) / figures.bytes(theirs);
      if (Number.isNaN(ratio)) return undefined;
      return { measured: `${ratio.toFixed(3)} of its size`, isMet: ratio <= EQUAL };
    },
  };
}

const BACKUPS = [
  ['`pg_dump \\| gzip`', 'gzip', 5],
  ['`pg_dump -Fc -Z zstd:5`', 'zstd5', 1.7],
  ['`pg_dump \\| zstd -3 -T0`', 'zstd3', 1.2],
] as const;

/** How fast, and how large, beside what people run. */
function backups(what: string, group: string): Goal[] {
  return BACKUPS.flatMap(([against, id, least]) => [
    faster(what, against, `${group}/dropback`, `${group}/${id}`, least),
    noLarger(what, against, `${group}/dropback`, `${group}/${id}`),
  ]);
}

const DROPS = {
  own: 'a backup of ours',
  'foreign-archive': 'a `.dump`',
  'foreign-script': 'a `.sql.gz`, which is read to its end before',
} as const;

/** A copy in steps begins anew whenever somebody writes: it may have been given up. */
const underWriter: Goal = {
  what: 'SQLite backup under a writer',
  against: '`sqlite3 .backup`, gzip',
  goal: '4 times faster or better',
  judge: (figures) => {
    if (!figures.has('sqlite/dropback', 'sqlite/backup')) return undefined;
    const factor = times(figures, 'sqlite/backup', 'sqlite/dropback');
    const isOpenEnded = figures.worst('sqlite/backup', 'gaveUp') === 1;
    const text = isOpenEnded ? ' at least: it was given up, never done' : ' as fast';
    return { measured: `${factor.toFixed(2)} times${text}`, isMet: factor >= 4 };
  },
};

/** In place, by one sequential write: SQLite alone can say that nobody has the file open, in WAL mode. */
const sqliteInPlace: Goal = {
  what: 'SQLite restore outside WAL mode, downtime',
  against: '–',
  goal: 'stated',
  judge: (figures) => {
    const perGb = figures.fact('sqlite/restore-in-place', 'downtimePerGb');
    return Number.isNaN(perGb) ? undefined : { measured: `${perGb.toFixed(2)} s/GB` };
  },
};

const DAEMONS = ['db-backup', 'db-restore'].flatMap((program) => [
  [`${program}-postgresql`, `${program}, PostgreSQL`],
  [`${program}-sqlite`, `${program}, SQLite`],
  [`${program}-s3`, `${program}, PostgreSQL and S3`],
]);

/** In the order of the table; the text is markdown. */
export const GOALS: readonly Goal[] = [
  ...backups('backup', 'backup'),
  ...backups('backup, one core', 'one-core'),
  within(
    'backup without read-back',
    'the limit, `pg_dump -Fd -jN -Z none`',
    1.25,
    (figures) => dumped(figures, 'backup/dropback') / figures.seconds('backup/limit'),
  ),
  within('backup with read-back', 'the limit', 1.5, (figures) =>
    times(figures, 'backup/dropback', 'backup/limit'),
  ),
  within(
    'our supervision',
    'the bare programs of the same shape',
    1.05,
    (figures) => dumped(figures, 'backup/uncounted') / figures.seconds('backup/bare'),
  ),
  within(
    'rows counted in the snapshot',
    'the dump without it',
    1.05,
    (figures) => dumped(figures, 'backup/dropback') / dumped(figures, 'backup/uncounted'),
  ),
  within('backup, encrypted', 'the same, unencrypted', 1.15, (figures) =>
    times(figures, 'encrypted/age', 'encrypted/plain'),
  ),
  within('backup, encrypted', 'the same form (one stream), unencrypted', 1.15, (figures) =>
    times(figures, 'encrypted/age', 'encrypted/stream'),
  ),
  faster(
    'backup with S3',
    '`pg_dump \\| gzip \\| rclone rcat`',
    'upload/dropback',
    'upload/rclone',
    4,
  ),
  faster(
    'backup with S3',
    '`pg_dump \\| gzip \\| aws s3 cp -`',
    'upload/dropback',
    'upload/aws',
    4,
  ),
  faster(
    'backup with S3, held to 50 MB/s',
    '`pg_dump -Fc -Z zstd:3 \\| rclone rcat`',
    'held/dropback',
    'held/rclone',
    1,
  ),
  faster(
    'backup with S3, held to 50 MB/s',
    '`pg_dump -Fc -Z zstd:3 \\| aws s3 cp -`',
    'held/dropback',
    'held/aws',
    1,
  ),
  faster('restore', 'stop; `gunzip \\| psql`; start', 'restore/own', 'restore/psql', 1.8),
  faster(
    'restore',
    'stop; `pg_restore -jN --clean --if-exists`; start',
    'restore/own',
    'restore/pg_restore',
    1,
  ),
  atMost('downtime of a restore, worst', 'at most 1 s', 1, 's', (figures) =>
    figures.worst('restore/own', 'downtime'),
  ),
  ...Object.entries(DROPS).map(([id, what]) =>
    atMost(`drop to claimed, ${what}: worst`, 'a second of quiet + 1 s', 2, 's', (figures) =>
      figures.worst(`restore/${id}`, 'noticed'),
    ),
  ),
  underWriter,
  faster(
    'SQLite backup under a writer',
    '`sqlite3 .backup`, gzip (nobody writes)',
    'sqlite/dropback',
    'sqlite/backup-quiet',
    4,
  ),
  atMost(
    'the writer blocked, worst',
    'never more than 200 ms',
    200,
    'ms',
    (figures) => figures.worst('sqlite/dropback', 'blocked') * 1000,
  ),
  atMost('SQLite restore (WAL mode), downtime, worst', 'at most 1 s', 1, 's', (figures) =>
    figures.worst('sqlite/restore', 'downtime'),
  ),
  sqliteInPlace,
  atMost('db-backup during a backup: resident, most', 'at most 120 MB', 120, 'MB', (figures) =>
    figures.worst('backup/dropback', 'residentMb'),
  ),
  atMost('db-restore during restores: resident, most', 'at most 120 MB', 120, 'MB', (figures) =>
    figures.worst('restore/own', 'residentMb'),
  ),
  ...DAEMONS.flatMap(([id, who]) => [
    atMost(`${who}: resident, idle`, 'at most 72 MB', 72, 'MB', (figures) =>
      figures.fact(`daemons/${id}`, 'residentMb'),
    ),
    atMost(`${who}: processor, idle`, 'under 0.2% of a core', 0.2, '%', (figures) =>
      figures.fact(`daemons/${id}`, 'corePercent'),
    ),
    atMost(`${who}: start to ready`, 'under 1 s', 1, 's', (figures) =>
      figures.seconds(`daemons/${id}`),
    ),
  ]),
];
