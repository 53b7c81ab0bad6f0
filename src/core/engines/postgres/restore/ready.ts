import { readServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';
import { readDatabase } from './live.ts';
import { liveObstacles } from './obstacles.ts';
import { requireAll } from './require-all.ts';
import { signalRight } from './rights.ts';
import type { Server } from './server.ts';

/**
 * The last look before the containers are stopped. Loading may have taken hours: who is connected
 * and what is prepared in the live database is another matter than at the inspection.
 * Throws `code` with everything that would keep the swap from happening.
 */
export async function requireSwappable(
  session: Session,
  server: Server,
  code: 'drop/not-possible-here' | 'request/not-possible-here',
): Promise<void> {
  const info = await readServerInfo(session);
  const live = await readDatabase(session, server.liveName);
  const obstacles = await liveObstacles(session, server, info, live);
  if (!live || info.isSuperuser) return requireAll(obstacles, code);
  const { role } = await session.queryOne<{ role: string }>('SELECT current_user AS role');
  requireAll([...obstacles, await signalRight(session, role, live)], code);
}
