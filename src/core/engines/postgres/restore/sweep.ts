import { messageOf } from '../../../runtime/errors.ts';
import type { StepContext } from '../../engine.ts';
import { ident } from '../quoting.ts';
import type { Session } from '../session.ts';
import { marker } from './create-staging.ts';
import { dropDatabase } from './drop-database.ts';
import { applicationName, type DatabaseKind, parseDatabaseName, parseLoadRole } from './names.ts';
import { parsePlaceholderMark, placeholderMark } from './placeholders.ts';
import { rollBackPrepared } from './prepared.ts';
import type { Server } from './server.ts';
import { dropUnusedStandIns } from './stand-in.ts';
import type { PostgresRestoreState } from './state.ts';

/** Between CREATE DATABASE and its mark lies one round trip, and whoever makes it is connected. */
const MARK_GRACE_MS = 3000;
/** A maker that is at it for longer is left alone, and so is its database. */
const MAKER_MOST_MS = 30_000;

/**
 * Removes staging databases, load roles and placeholders that no journal knows. Another daemon's
 * are on the same server perhaps: only what carries this live database's mark goes, or a staging
 * database that has no mark at all, whose maker is gone. Kept databases (`dropback_p_`) hold
 * somebody's data and are never swept, unless an interrupted DROP has already destroyed them.
 * `sought` is the kind that the caller makes: rehearsals and restores leave each other's alone.
 */
export async function sweepLeftovers(
  server: Server,
  known: readonly PostgresRestoreState[],
  context: Pick<StepContext, 'signal' | 'log'>,
  sought: 'staging' | 'scratch' = 'staging',
): Promise<string[]> {
  await using session = await server.open({
    applicationName: 'dropback sweep',
    signal: context.signal,
  });
  const ids = new Set(known.map((state) => state.id));
  const removed: string[] = [];
  const attempt = async (name: string, remove: () => Promise<unknown>) => {
    try {
      if (await remove()) removed.push(name);
    } catch (error) {
      context.log.warn({ name, why: messageOf(error) }, 'a leftover could not be removed');
    }
  };
  for (const { name, oid, kind } of await leftoverDatabases(
    session,
    server,
    ids,
    sought,
    context.signal,
  )) {
    await attempt(name, () =>
      dropDatabase(session, { name, oid, kind }, (database) =>
        rollBackPrepared(server, session, database, context.signal),
      ),
    );
  }
  for (const name of await leftoverRoles(session, server.liveName, ids)) {
    await attempt(name, async () => {
      await session.query(`DROP ROLE IF EXISTS ${ident(name)}`);
      return true;
    });
  }
  await attempt('owner roles', async () => {
    removed.push(...(await dropUnusedStandIns(session, server.liveName)));
    return false;
  });
  return removed;
}

interface Leftover {
  readonly name: string;
  readonly oid: string;
  readonly kind: DatabaseKind;
}

async function leftoverDatabases(
  session: Session,
  server: Server,
  known: ReadonlySet<string>,
  sought: 'staging' | 'scratch',
  signal: AbortSignal,
): Promise<Leftover[]> {
  const ours = marker(server.liveName);
  const look = async () => (await readCandidates(session)).filter(({ id }) => !known.has(id));
  const { clock } = server.options;
  let candidates = await look();
  const until = clock.monotonic() + MAKER_MOST_MS;
  const isUnmarked = (one: Candidate) => one.comment === null && one.kind === sought;
  if (candidates.some(isUnmarked)) {
    do {
      await clock.sleep(MARK_GRACE_MS, signal);
      candidates = await look();
    } while (
      candidates.some((one) => isUnmarked(one) && one.hasMaker) &&
      clock.monotonic() < until
    );
  }
  return candidates.filter((one) => {
    if (one.halfDropped) return true;
    if (one.kind !== sought) return false;
    return one.comment === ours || (one.comment === null && !one.inUse && !one.hasMaker);
  });
}

interface Candidate extends Leftover {
  readonly id: string;
  readonly comment: string | null;
  /** And nobody is at it. */
  readonly halfDropped: boolean;
  readonly inUse: boolean;
  /** A session of the restore that its name tells of is there. */
  readonly hasMaker: boolean;
}

async function readCandidates(session: Session): Promise<Candidate[]> {
  const rows = await session.query<Omit<Candidate, 'kind' | 'id'>>(
    `SELECT datname AS name, oid::text AS oid, shobj_description(oid, 'pg_database') AS comment,
            datconnlimit = -2 AND NOT EXISTS (SELECT FROM pg_stat_activity a
              WHERE a.state = 'active' AND a.query LIKE 'DROP DATABASE%' || d.datname || '%') AS "halfDropped",
            EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid) AS "inUse",
            EXISTS (SELECT FROM pg_stat_activity a
                     WHERE a.application_name = $1 || right(d.datname, 16)) AS "hasMaker"
       FROM pg_database d WHERE datname LIKE 'dropback\\__\\_%'`,
    [applicationName('')],
  );
  return rows.flatMap((row) => {
    const parsed = parseDatabaseName(row.name);
    return parsed ? [{ ...row, ...parsed }] : [];
  });
}

/** Load roles and placeholders carry their mark from the same transaction on in which they began. */
async function leftoverRoles(
  session: Session,
  liveName: string,
  known: ReadonlySet<string>,
): Promise<string[]> {
  const rows = await session.query<{ name: string; comment: string }>(
    `SELECT rolname AS name, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles
      WHERE shobj_description(oid, 'pg_authid') LIKE 'dropback: %'`,
  );
  return rows
    .filter(({ name, comment }) => {
      const load = parseLoadRole(name);
      if (load !== undefined) return comment === marker(liveName) && !known.has(load);
      const id = parsePlaceholderMark(comment);
      return id !== undefined && !known.has(id) && comment === placeholderMark(id, liveName);
    })
    .map(({ name }) => name);
}
