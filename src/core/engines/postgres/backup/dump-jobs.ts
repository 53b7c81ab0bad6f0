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
const FOLDER_AND_TAR = 2;
/**
 * On one processor two jobs are no faster than one, but a folder, which pg_dump itself compresses, takes less
 * work than a stream through other programs. Below so many bytes their start is more than that.
 */
const WORTH_IT_ON_ONE_CORE = 1_000_000_000;
/** Each takes a kilobyte of a tar however small it is, and a stream is faster with very many. */
const USUAL_FILES = 10_000;
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
 * connections, not very many tables and large objects, and room for a folder and a tar beside each other: of
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
  return jobs < USUAL || (await countFiles(session)) > USUAL_FILES ? 1 : USUAL;
}

/** Whether two jobs are faster than a stream. `size`: of the database, bytes. */
export function isWorthIt(processors: number, size: number): boolean {
  return processors >= USUAL || size >= WORTH_IT_ON_ONE_CORE;
}

async function countFiles(session: Session): Promise<number> {
  const { files } = await session.queryOne<{ files: string }>(
    `SELECT (SELECT count(*) FROM pg_largeobject_metadata)
          + (SELECT count(*) FROM pg_class WHERE relkind = 'r') AS files`,
  );
  return Number(files);
}
