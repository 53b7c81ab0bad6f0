import { statfs } from 'node:fs/promises';
import type { Manifest } from '../../../archive/manifest.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { DropbackError, isAbort, toDropbackError } from '../../../runtime/errors.ts';
import type { Session } from '../session.ts';

const MIB = 1024 * 1024;
const FACTOR = 1.5;
/** Catalogs, WAL-logged indexes and round numbers: small databases need room beyond proportion. */
const LEAST_BYTES = 256 * MIB;
const EMPTY_DATABASE_BYTES = 8 * MIB;
/** A key, a sequence, the index of its long values, a page each; and what the catalogs say of it. */
const EMPTY_TABLE_BYTES = 24 * 1024;
/** A row's header, item pointer and alignment; text has none of it. */
const ROW_OVERHEAD_BYTES = 32;
const POLL_MS = 500;
/** In so long a load notices that its server has gone. */
const LAST_WORDS_MS = 10_000;
/** Free space that is always left to the server. */
const RESERVE_BYTES = 256 * MIB;

/** How much text the content is, as SQL: what pg_restore prints, or the script itself. */
export interface TextSize {
  readonly bytes: number;
  readonly lines: number;
}

/**
 * Bytes that the content will take in a database, at a guess: every line a row with its overhead,
 * indexes as large as the rows, and what so many tables take without any. Where our own manifest knows the source's size, that.
 */
export function expectedBytes(
  text: TextSize | undefined,
  manifest: Manifest | undefined,
  tables = 0,
): number {
  if (manifest) return Math.max(manifest.database.sizeBytes, EMPTY_DATABASE_BYTES);
  const { bytes, lines } = text ?? { bytes: 0, lines: 0 };
  const rows = 2 * (bytes + ROW_OVERHEAD_BYTES * lines);
  return EMPTY_DATABASE_BYTES + rows + EMPTY_TABLE_BYTES * tables;
}

/** RESTORE_MAX_STAGING_BYTES, else 1.5 times the larger of live size and expected size. */
export function stagingBudget(
  expected: number,
  liveBytes: number,
  configured: number | undefined,
): number {
  return configured ?? Math.max(LEAST_BYTES, Math.ceil(FACTOR * Math.max(expected, liveBytes)));
}

export interface GrowthWatch {
  readonly session: Session;
  readonly oid: string;
  readonly budgetBytes: number;
  readonly expectedBytes: number;
  readonly serverDataDir: string | undefined;
  readonly clock: Clock;
  readonly progress: (fraction: number) => void;
}

/**
 * Runs `load` while looking at the size of staging: over the budget, or with the disk nearly full,
 * the load is aborted with `drop/over-budget` or `disk/full`.
 */
export async function withinBudget<T>(
  watch: GrowthWatch,
  signal: AbortSignal,
  load: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const done = new AbortController();
  const ended = AbortSignal.any([signal, done.signal]);
  const watching = look(watch, ended).catch(async (error: unknown) => {
    if (isAbort(error)) return;
    // Of a server that goes down the load knows more: it has read its last words.
    if (toDropbackError(error).retryable)
      await watch.clock.sleep(LAST_WORDS_MS, ended).catch(() => {});
    over.abort(error);
  });
  try {
    const result = await load(AbortSignal.any([signal, over.signal]));
    done.abort();
    await watching;
    // The last growth may have come between two looks.
    if (!over.signal.aborted) await lookOnce(watch);
    if (over.signal.aborted) throw over.signal.reason;
    return result;
  } finally {
    done.abort();
    await watching;
  }
}

async function look(watch: GrowthWatch, signal: AbortSignal): Promise<void> {
  for (;;) {
    await lookOnce(watch);
    await watch.clock.sleep(POLL_MS, signal);
  }
}

async function lookOnce(watch: GrowthWatch): Promise<void> {
  const { bytes } = await watch.session.queryOne<{ bytes: string }>(
    'SELECT pg_database_size($1::oid)::text AS bytes',
    [watch.oid],
  );
  const size = Number(bytes);
  if (size > watch.budgetBytes) throw overBudget(size, watch.budgetBytes);
  if (watch.serverDataDir !== undefined) await requireFreeSpace(watch.serverDataDir);
  watch.progress(Math.min(0.99, size / Math.max(1, watch.expectedBytes)));
}

async function requireFreeSpace(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= RESERVE_BYTES) return;
  throw new DropbackError('disk/full', `only ${free} bytes are free in ${folder}`, {
    hint: "free space on the database server's volume: the load was stopped so that the live database can go on writing.",
    facts: { folder, freeBytes: free },
  });
}

function overBudget(size: number, budget: number): DropbackError {
  return new DropbackError(
    'drop/over-budget',
    `the staging database grew to ${size} bytes, more than the ${budget} that it may take`,
    {
      hint: 'if the content really is that large, set RESTORE_MAX_STAGING_BYTES.',
      facts: { bytes: size, budgetBytes: budget },
    },
  );
}
