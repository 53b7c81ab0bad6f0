import { readConnectionRoom } from '../server-info.ts';
import type { Session } from '../session.ts';

/** Connections that a parallel dump leaves to others, whatever BACKUP_JOBS says. */
const LEFT_TO_OTHERS = 3;
/** pg_dump's own; each job has another one. */
const LEADER = 1;

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
