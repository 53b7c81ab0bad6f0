import { readExtensions } from '../catalog.ts';
import type { ServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';
import { type DatabaseFacts, readDatabase } from './live.ts';
import { type LiveTable, readLiveTables } from './same-application.ts';
import type { Server } from './server.ts';

/** What the server says, before and besides the file. */
export interface Scene {
  readonly session: Session;
  readonly info: ServerInfo;
  readonly live: DatabaseFacts | undefined;
  readonly liveTables: readonly LiveTable[];
  readonly liveExtensions: readonly string[];
  readonly owner: string;
}

export async function readScene(
  session: Session,
  server: Server,
  info: ServerInfo,
  signal: AbortSignal,
): Promise<Scene> {
  const live = await readDatabase(session, server.liveName);
  const owner = live?.owner ?? server.applicationUser;
  const base = { session, info, live, owner };
  if (!live) return { ...base, liveTables: [], liveExtensions: [] };
  const database = server.liveName;
  await using inLive = await server.open({
    applicationName: 'dropback inspect',
    database,
    signal,
    lockTimeoutMs: 30_000,
  });
  const liveTables = await readLiveTables(inLive);
  const liveExtensions = (await readExtensions(inLive)).map(({ name }) => name);
  return { ...base, liveTables, liveExtensions };
}
