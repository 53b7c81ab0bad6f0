import { partBytesForEstimate } from '../../src/core/stores/s3/part-plan.ts';
import type { Rates } from './rates.ts';
import { type Dumped, simulateFolder, simulateStream } from './simulate-dump.ts';
import type { Site } from './site.ts';

export interface Backup {
  readonly jobs: number;
  /** Seconds until the last row is dumped: the age of the snapshot, which holds vacuum back. */
  readonly snapshot: number;
  /** Seconds until it was read back, and until it is in the bucket. */
  readonly readBack: number;
  readonly uploaded?: number;
  /** Seconds from the lock to the list. */
  readonly listed: number;
  readonly archiveBytes: number;
  /** On the backup volume while it is made. */
  readonly roomBytes: number;
  /** Of each part in S3, and how many. */
  readonly partBytes: number;
  readonly parts: number;
  /** Of the database, 0 to 1: rows that are dead and can't be removed when the snapshot ends. */
  readonly deadRows: number;
}

/** `jobs` 1: a stream, as BACKUP_JOBS=1 has it; more: a folder that is packed as it grows. */
export function simulateBackup(site: Site, jobs: number, rates: Rates): Backup {
  const dumped = jobs === 1 ? simulateStream(site, rates) : simulateFolder(site, jobs, rates);
  const snapshot = rates.perBackup + Math.max(...dumped.map(({ at }) => at));
  const archiveBytes = dumped.reduce((sum, { bytes }) => sum + bytes, 0);
  const readBack = snapshot + readBackSeconds(site, jobs, dumped, rates);
  const partBytes = partBytesForEstimate(site.bytes);
  const uploaded =
    site.line === undefined
      ? undefined
      : rates.perBackup + lastByteUp(dumped, partBytes, site.line);
  return {
    jobs,
    snapshot,
    readBack,
    ...(uploaded === undefined ? {} : { uploaded }),
    listed: Math.max(readBack, uploaded ?? 0),
    archiveBytes,
    roomBytes: archiveBytes * (jobs === 1 ? 1 : 2),
    partBytes,
    parts: Math.ceil(archiveBytes / partBytes),
    deadRows: Math.min(1, (site.churn * snapshot) / 3600),
  };
}

/** Files of a tar side by side, each by one core; a stream by one. The disk is read once. */
function readBackSeconds(
  { cores, disk }: Site,
  jobs: number,
  dumped: readonly Dumped[],
  { readBackCpuPerArchive }: Rates,
): number {
  const all = dumped.reduce((sum, { bytes }) => sum + bytes, 0);
  const largest = Math.max(...dumped.map(({ bytes }) => bytes));
  const serial = jobs === 1 ? all : largest;
  return Math.max(
    serial * readBackCpuPerArchive,
    (all * readBackCpuPerArchive) / cores,
    all / disk,
  );
}

/** Parts go up in their order as the archive grows, so a table's wait for all that were done before it. */
function lastByteUp(dumped: readonly Dumped[], partBytes: number, line: number): number {
  let [free, grown, sent] = [0, 0, 0];
  for (const { at, bytes } of dumped) {
    grown += bytes;
    const whole = Math.floor((grown - sent) / partBytes) * partBytes;
    if (whole === 0) continue;
    free = Math.max(free, at) + whole / line;
    sent += whole;
  }
  const end = dumped.at(-1)?.at ?? 0;
  return Math.max(free, end) + (grown - sent) / line;
}
