import { variable } from '../../src/core/config/variables.ts';
import type { PlanOptions } from './options.ts';
import type { Rates } from './rates.ts';
import { type Backup, simulateBackup } from './simulate-backup.ts';

const MIB = 1024 ** 2;
const LARGEST_OBJECT_BYTES = 5 * 1024 ** 4;

/** A Markdown table with a column for each number of jobs, and what breaks. */
export function planReport({ site, jobs, databases, atOnce }: PlanOptions, rates: Rates): string[] {
  const backups = jobs.map((n) => simulateBackup(site, n, rates));
  const row = (name: string, tell: (backup: Backup) => string) =>
    `| ${[name, ...backups.map(tell)].join(' | ')} |`;
  return [
    row('BACKUP_JOBS', ({ jobs: n }) => `${n}`),
    row('---', () => '---'),
    row('age of the snapshot', ({ snapshot }) => tellSeconds(snapshot)),
    row('read back', ({ readBack }) => tellSeconds(readBack)),
    row('in the bucket', ({ uploaded }) => (uploaded === undefined ? '–' : tellSeconds(uploaded))),
    row('archive', ({ archiveBytes }) => tellBytes(archiveBytes)),
    row('room while it is made', ({ roomBytes }) => tellBytes(roomBytes)),
    row('parts', ({ parts, partBytes }) => `${parts} of ${partBytes / MIB} MiB`),
    row('dead rows kept by it', ({ deadRows }) => `${(deadRows * 100).toFixed(1)}%`),
    ...(databases === 1
      ? []
      : [row(`${databases} of them, ${atOnce} at once`, roundOf(databases, atOnce))]),
    row('what breaks', (backup) => whatBreaks(backup).join(', ') || 'nothing'),
    '',
    `A restore on two cores, from settled to back: ${tellSeconds(site.bytes * rates.restorePerByte)}, as measured with 2 GB.`,
  ];
}

/** At the defaults of the variables that limit a backup. */
export function whatBreaks({ listed, archiveBytes }: Backup): string[] {
  const timeout = Number(variable('BACKUP_TIMEOUT_SECONDS').default);
  return [
    ...(listed > timeout ? ['BACKUP_TIMEOUT_SECONDS'] : []),
    ...(archiveBytes > LARGEST_OBJECT_BYTES ? ["S3's largest object"] : []),
  ];
}

/** A machine that one of them doesn't fill does as many at once as it may. */
function roundOf(databases: number, atOnce: number): (backup: Backup) => string {
  return ({ listed }) => tellSeconds((listed * databases) / atOnce);
}

function tellSeconds(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  const minutes = seconds / 60;
  return minutes < 120 ? `${minutes.toFixed(0)} min` : `${(minutes / 60).toFixed(1)} h`;
}

function tellBytes(bytes: number): string {
  if (bytes >= 1e12) return `${(bytes / 1e12).toFixed(1)} TB`;
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(0)} MB`;
}
