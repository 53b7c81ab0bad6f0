import { availableParallelism } from 'node:os';
import { MOST_MEMBERS } from '../../../archive/tar.ts';
import type { PostgresConnection } from '../../../config/config.ts';
import { connect } from '../connection.ts';
import { readConnectionRoom, readDatabaseSize } from '../server-info.ts';
import type { Session } from '../session.ts';

/** Connections that a parallel dump leaves to others, whatever BACKUP_JOBS says. */
const LEFT_TO_OTHERS = 3;
/** pg_dump's own; each job has another one. */
const LEADER = 1;

/** More than these take from an application that shares the server. */
const USUAL = 2;
/** What initdb made has a smaller one. */
const FIRST_OWN_OID = 16_384;
const FOLDER_AND_TAR = 2;
/**
 * On one processor two jobs are no faster than one, but a folder, which pg_dump itself compresses, takes less
 * work than a stream through other programs. Below so many bytes their start is more than that.
 */
const WORTH_IT_ON_ONE_CORE = 1_000_000_000;
/** Each takes a kilobyte of a tar however small it is, and a stream is faster with very many. */
const USUAL_FILES = 10_000;
/** From so many on each has to be worth its own file: a table that is empty takes longer than in a stream. */
const MANY_FILES = 2000;
const WORTH_A_FILE = 1_000_000;
/** Of a directory; the tar needs some more for its lists. */
export const MOST_FILES = MOST_MEMBERS * 0.9;

export interface GrantedJobs {
  readonly jobs: number;
  readonly warning?: string;
}

/** As many of the jobs as the server has connections for, at least one. */
export async function grantJobs(session: Session, asked: number): Promise<GrantedJobs> {
  const { most, used, reserved, free } = await readConnectionRoom(session);
  // What is reserved is of no use to the application, even where this role may take it.
  const available = Math.min(free, most - used - reserved);
  const jobs = Math.max(1, Math.min(asked, available - LEFT_TO_OTHERS - LEADER));
  if (jobs === asked) return { jobs };
  const warning = `dumped with ${jobs} jobs instead of ${asked} (BACKUP_JOBS): ${Math.max(0, available)} connections were free, ${LEFT_TO_OTHERS} of them are left to others`;
  return { jobs, warning };
}

/**
 * Jobs where BACKUP_JOBS isn't set: two, where there are two processors or much to dump, free
 * connections, locks, not very many tables and large objects, and room for a folder and a tar beside each other: of
 * what doesn't compress, each may take as much as the database. A stream fits where only one of them does.
 */
export async function chooseJobs(
  connection: PostgresConnection,
  freeBytes: number | undefined,
  signal: AbortSignal,
): Promise<number> {
  if (freeBytes === undefined) return 1;
  await using session = await connect(connection, { applicationName: 'dropback probe', signal });
  const size = await readDatabaseSize(session, connection.database);
  if (freeBytes < size * FOLDER_AND_TAR) return 1;
  if (!isWorthIt(availableParallelism(), size)) return 1;
  const { jobs } = await grantJobs(session, USUAL);
  if (jobs < USUAL) return 1;
  const { tables, files, lockSlots } = await countFiles(session);
  return fitsFolder(files, size) && fitsLocks(tables, lockSlots) ? USUAL : 1;
}

/** Whether that many tables and large objects, of `size` bytes together, are worth a file each. */
export function fitsFolder(files: number, size: number): boolean {
  return files <= Math.min(USUAL_FILES, Math.max(MANY_FILES, size / WORTH_A_FILE));
}

/**
 * Whether the server's table of locks holds the tables three times: the snapshot's session, pg_dump's own and its
 * jobs together have a lock on each. It has room for two holders of every slot.
 */
export function fitsLocks(tables: number, lockSlots: number): boolean {
  return tables * 3 <= lockSlots * 2;
}

/** Whether two jobs are faster than a stream. `size`: of the database, bytes. */
export function isWorthIt(processors: number, size: number): boolean {
  return processors >= USUAL || size >= WORTH_IT_ON_ONE_CORE;
}

interface Counted {
  readonly tables: number;
  /** Tables and large objects. */
  readonly files: number;
  /** As the settings say: the server has some more. */
  readonly lockSlots: number;
}

async function countFiles(session: Session): Promise<Counted> {
  const row = await session.queryOne<{ tables: string; objects: string; slots: string }>(
    `SELECT (SELECT count(*) FROM pg_largeobject_metadata) AS objects,
            (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid >= ${FIRST_OWN_OID}) AS tables,
            current_setting('max_locks_per_transaction')::bigint
              * (current_setting('max_connections')::bigint
                 + current_setting('max_prepared_transactions')::bigint) AS slots`,
  );
  const tables = Number(row.tables);
  return { tables, files: tables + Number(row.objects), lockSlots: Number(row.slots) };
}
