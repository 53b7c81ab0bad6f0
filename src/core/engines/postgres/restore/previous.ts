import type { PreviousDatabase } from '../../engine.ts';
import type { Session } from '../session.ts';
import { parseDatabaseName } from './names.ts';

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
