import { availableParallelism } from 'node:os';
import type { Session } from '../session.ts';

const MIB = 1024 * 1024;
const MOST_WORK_MEM = 512 * MIB;
const MOST_JOBS = 4;

/** Jobs of pg_restore: as configured, else one a processor, never more than connections are free. */
export function chooseJobs(configured: number | undefined, freeConnections: number): number {
  const wanted = configured ?? Math.min(MOST_JOBS, availableParallelism());
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
  jobs: number,
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
    max_parallel_maintenance_workers: Math.min(2, Number(row.workers)),
    statement_timeout: 0,
    lock_timeout: 0,
    idle_in_transaction_session_timeout: 0,
    // Workers of pg_restore are idle while another one holds what they wait for.
    idle_session_timeout: 0,
    ...(session.major >= 17 ? { transaction_timeout: 0 } : {}),
    client_min_messages: 'warning',
  };
}
