import { availableParallelism } from 'node:os';
import { BackupContestants } from '../contestants.ts';
import type { Lab } from '../lab.ts';
import type { Series } from '../series.ts';

/** What BACKUP_JOBS is where it isn't set. */
const USUAL_JOBS = 2;

/** The same programs as the default backup's dump step, without any supervision: files are packed as they are done. */
const bare = (jobs: number) =>
  [
    'mkdir d; mkfifo a b',
    'tar -cf dump.tar -C d --no-recursion -T "$PWD/a" &',
    'tar -c -C d --no-recursion -T "$PWD/b" | openssl dgst -sha256 >sum &',
    '{',
    `  pg_dump -v -Fd -j${jobs} -Z zstd:2 --no-sync -f d 2>&1 |`,
    "    sed -un 's/^pg_dump: finished item \\([0-9]*\\) TABLE DATA .*/\\1.dat.zst/p' | tee packed",
    '  ls d | grep -vxFf packed',
    '} | tee a >b',
    'wait; rm -r d a b packed',
  ].join('\n');

/** Default settings against what people run, the limit, and our own parts. */
export async function backupGroup(lab: Lab): Promise<Series[]> {
  const { jobs, ourJobs = USUAL_JOBS } = lab.options;
  // Nobody's turn is to pay for filling it.
  await lab.server();
  const who = new BackupContestants(lab);
  const contestants = [
    who.dropback('backup/dropback', 'Dropback'),
    who.dropback('backup/uncounted', 'Dropback, BACKUP_ROW_COUNTS=archive', {
      BACKUP_ROW_COUNTS: 'archive',
    }),
    who.script('backup/gzip', 'pg_dump | gzip', 'pg_dump | gzip > dump.sql.gz'),
    who.script('backup/zstd5', 'pg_dump -Fc -Z zstd:5', 'pg_dump -Fc -Z zstd:5 > dump'),
    who.script('backup/zstd3', 'pg_dump | zstd -3 -T0', 'pg_dump | zstd -q -3 -T0 > dump.sql.zst'),
    who.script('backup/bare', 'the bare programs of our dump step', bare(ourJobs)),
    who.script(
      'backup/limit',
      `the limit: pg_dump -Fd -j${jobs} -Z none`,
      `pg_dump -Fd -j${jobs} -Z0 --no-sync -f dump`,
    ),
  ];
  return await lab.takeTurns(contestants);
}

/** Client programs and server on one processor. */
export async function oneCoreGroup(lab: Lab): Promise<Series[]> {
  const server = await lab.server();
  const who = new BackupContestants(lab, '0');
  const contestants = [
    who.dropback('one-core/dropback', 'Dropback'),
    who.dropback('one-core/stream', 'Dropback, BACKUP_JOBS=1', { BACKUP_JOBS: '1' }),
    who.script('one-core/gzip', 'pg_dump | gzip', 'pg_dump | gzip > dump.sql.gz'),
    who.script('one-core/zstd5', 'pg_dump -Fc -Z zstd:5', 'pg_dump -Fc -Z zstd:5 > dump'),
    who.script(
      'one-core/zstd3',
      'pg_dump | zstd -3 -T0',
      'pg_dump | zstd -q -3 -T0 > dump.sql.zst',
    ),
  ];
  await server.limitTo('0');
  try {
    return await lab.takeTurns(contestants);
  } finally {
    await server.limitTo(`0-${availableParallelism() - 1}`);
  }
}
