import { setTimeout as sleep } from 'node:timers/promises';
import type { Session } from '../session.ts';

const LOOKS = 5;
const PAUSE_MS = 40;

/**
 * How many connections of others compute or read at a time, on average of a fifth of a second. What other roles do
 * is seen by members of pg_read_all_stats only; without that, what the same role does counts.
 */
export async function readBusyBackends(session: Session, signal: AbortSignal): Promise<number> {
  let seen = 0;
  for (let look = 1; look <= LOOKS; look++) {
    // Who waits for a lock or for its client takes nothing from anybody.
    const { busy } = await session.queryOne<{ busy: string }>(
      `SELECT count(*) AS busy FROM pg_stat_activity
        WHERE backend_type IN ('client backend', 'parallel worker') AND state = 'active'
          AND wait_event_type IS DISTINCT FROM 'Lock' AND wait_event_type IS DISTINCT FROM 'Client'
          AND wait_event_type IS DISTINCT FROM 'Timeout'
          AND application_name NOT LIKE 'dropback%' AND pid <> pg_backend_pid()`,
    );
    seen += Number(busy);
    if (look < LOOKS) await sleep(PAUSE_MS, undefined, { signal });
  }
  return seen / LOOKS;
}
