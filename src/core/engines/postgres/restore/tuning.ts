import { availableParallelism } from 'node:os';
import { readConnectionRoom } from '../server-info.ts';
import type { Session } from '../session.ts';
import { readBusyBackends } from './busy-backends.ts';

const MIB = 1024 * 1024;
const MOST_WORK_MEM = 512 * MIB;
const MOST_JOBS = 4;
const USUAL_INDEX_WORKERS = 2;

/** What loading takes from a server that others work on. */
export interface LoadPlan {
  /** Of pg_restore: connections that copy and build indexes. */
  readonly jobs: number;
  /** Processes that help each of them with an index. */
  readonly indexWorkers: number;
}

/** One job, for whom the application is away meanwhile. */
export const ALONE: LoadPlan = { jobs: 1, indexWorkers: USUAL_INDEX_WORKERS };

/** Sized by what is free on the server now: connections, and processors that others don't use. */
export async function planLoad(
  session: Session,
  configured: number | undefined,
  signal: AbortSignal,
): Promise<LoadPlan> {
  const { free } = await readConnectionRoom(session);
  const processors = availableParallelism();
  const idle = processors - Math.round(await readBusyBackends(session, signal));
  return {
    jobs: chooseJobs(configured, free, idle),
    indexWorkers: idle < processors ? 0 : USUAL_INDEX_WORKERS,
  };
}

/** Jobs as configured, else one an idle processor, never more than connections are free. */
export function chooseJobs(
  configured: number | undefined,
  freeConnections: number,
  idleProcessors: number,
): number {
  const wanted = configured ?? Math.min(MOST_JOBS, idleProcessors);
  // Besides the jobs: pg_restore's first connection, our watcher, one in reserve.
  return Math.max(1, Math.min(wanted, freeConnections - 3));
}

/**
 * Settings of the loading sessions. Memory for building indexes is taken from what the server was
 * given (its shared_buffers, shared among the jobs), because its machine can't be seen from here.
 * Durability comes with the swap, whose commit flushes everything before it.
 */
export async function loadSettings(
  session: Session,
  { jobs, indexWorkers }: LoadPlan,
): Promise<Record<string, string | number>> {
  const row = await session.queryOne<{ work: string; shared: string; workers: string }>(
    `SELECT pg_size_bytes(current_setting('maintenance_work_mem'))::text AS work,
            pg_size_bytes(current_setting('shared_buffers'))::text AS shared,
            current_setting('max_parallel_workers') AS workers`,
  );
  const share = Math.min(MOST_WORK_MEM, Math.floor(Number(row.shared) / jobs));
  const workMem = Math.max(Number(row.work), share);
  return {
    synchronous_commit: 'off',
    maintenance_work_mem: `${Math.floor(workMem / 1024)}kB`,
    max_parallel_maintenance_workers: Math.min(indexWorkers, Number(row.workers)),
    statement_timeout: 0,
    lock_timeout: 0,
    idle_in_transaction_session_timeout: 0,
    // Workers of pg_restore are idle while another one holds what they wait for.
    idle_session_timeout: 0,
    ...(session.major >= 17 ? { transaction_timeout: 0 } : {}),
    client_min_messages: 'warning',
  };
}
