import type { PreviousDatabase } from '../../engine.ts';
import type { Session } from '../session.ts';
import { dropDatabase } from './drop-database.ts';
import { parseDatabaseName } from './names.ts';
import type { Server } from './server.ts';
import { tidyStandIns } from './stand-in.ts';
import { terminateNamed } from './terminate.ts';

const TERMINATE_MOST_MS = 30_000;

/** Size in bytes of a kept database; undefined where name and OID no longer belong together. */
export async function measure(
  session: Session,
  previous: PreviousDatabase,
): Promise<number | undefined> {
  if (parseDatabaseName(previous.name)?.kind !== 'previous') return undefined;
  if (!/^\d+$/.test(previous.identity)) return undefined;
  const [row] = await session.query<{ bytes: string }>(
    `SELECT pg_database_size(oid)::text AS bytes FROM pg_database
      WHERE datname = $1 AND oid = $2::oid AND datconnlimit <> -2`,
    [previous.name, previous.identity],
  );
  return row && Number(row.bytes);
}

/** Drops a kept database, after ending a DROP of it that a dead daemon may have left running. */
export async function dropKept(
  server: Server,
  { id, name, identity }: PreviousDatabase,
  signal: AbortSignal,
): Promise<void> {
  const applicationName = `dropback drop ${id}`;
  await using session = await server.open({ applicationName, signal });
  const bounds = { clock: server.options.clock, signal, mostMs: TERMINATE_MOST_MS };
  await terminateNamed(session, applicationName, bounds);
  await dropDatabase(session, { name, kind: 'previous', oid: identity });
  await tidyStandIns(session, server.liveName);
}
