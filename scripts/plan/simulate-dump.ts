import type { Rates } from './rates.ts';
import { type Site, tableSizes } from './site.ts';

/** A table that is done. */
export interface Dumped {
  /** Seconds since the dump began. */
  readonly at: number;
  /** Of the archive. */
  readonly bytes: number;
}

/** Each byte of an archive is written as a file, read, and written into the tar. */
const PASSES_OF_A_FOLDER = 3;
/** A stream is written, and hashed on its way. */
const PASSES_OF_A_STREAM = 1;

/**
 * Jobs take the tables as `pg_dump -j` deals them out, the largest first, each by one job. All that run share
 * the cores and the disk; none is faster than a backend and pg_dump are by themselves.
 */
export function simulateFolder(site: Site, jobs: number, rates: Rates): Dumped[] {
  const waiting = tableSizes(site).map((bytes) => bytes * rates.plainPerByte);
  const shared = Math.min(
    site.cores / rates.dumpCpuPerPlain,
    site.disk / PASSES_OF_A_FOLDER / rates.archivePerPlain,
  );
  const done: Dumped[] = [];
  // What is left of each, in plain bytes: a table's fixed cost counts as the bytes it could have been.
  let running: { readonly plain: number; left: number }[] = [];
  let now = 0;
  while (waiting.length + running.length > 0) {
    for (const plain of waiting.splice(0, jobs - running.length)) {
      running.push({ plain, left: plain + rates.perTable * rates.jobPlainPerSecond });
    }
    const each = Math.min(rates.jobPlainPerSecond, shared / running.length);
    const seconds = Math.min(...running.map(({ left }) => left)) / each;
    now += seconds;
    for (const job of running) job.left -= seconds * each;
    const still = running.filter(({ left }) => left > 0.5);
    for (const { plain, left } of running) {
      if (left <= 0.5) done.push({ at: now, bytes: plain * rates.archivePerPlain });
    }
    running = still;
  }
  return done;
}

/** One stream through one backend: the archive grows all the time, told in hundred steps. */
export function simulateStream(site: Site, rates: Rates): Dumped[] {
  const plain = site.bytes * rates.plainPerByte;
  const rate = Math.min(
    rates.streamPlainPerSecond,
    site.cores / rates.streamCpuPerPlain,
    site.disk / PASSES_OF_A_STREAM / rates.archivePerPlain,
  );
  const seconds = plain / rate + rates.perTable * site.tables;
  const steps = 100;
  return Array.from({ length: steps }, (_, index) => ({
    at: (seconds * (index + 1)) / steps,
    bytes: (plain * rates.archivePerPlain) / steps,
  }));
}
