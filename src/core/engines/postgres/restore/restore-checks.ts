import type { CheckResult } from '../../engine.ts';
import { chooseClient } from '../clients.ts';
import { failure, guarded } from '../guarded-check.ts';
import { lockHolder } from '../lock.ts';
import { readServerInfo } from '../server-info.ts';
import type { Session } from '../session.ts';
import { readDatabase } from './live.ts';
import { loadRoleChecks } from './load-url.ts';
import { liveObstacles } from './obstacles.ts';
import { readProfile } from './profile.ts';
import { choosePsql } from './psql.ts';
import { controlRights } from './rights.ts';
import type { Server } from './server.ts';

/** What a restore needs of the database, looked at with real calls. Never throws for a finding. */
export async function restoreChecks(server: Server, signal: AbortSignal): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  try {
    await using session = await server.open({ applicationName: 'dropback checks', signal });
    const message = `${session.where} answers, PostgreSQL ${session.version}, not through a pooler`;
    results.push({ id: 'postgres/reachable', status: 'ok', message });
    results.push(await guarded('postgres/client', signal, () => restoreClient(session, signal)));
    results.push(await guarded('postgres/psql', signal, () => psqlClient(session, signal)));
    results.push(...(await rightsChecks(server, session, signal)));
    results.push(await guarded('postgres/lock', signal, () => lockCheck(server, session)));
  } catch (error) {
    results.push(failure('postgres/reachable', error, signal));
  }
  return results;
}

async function rightsChecks(
  server: Server,
  session: Session,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  try {
    const info = await readServerInfo(session);
    const live = await readDatabase(session, server.liveName);
    const profile = live && (await readProfile(session, live.oid));
    const owner = live?.owner ?? server.applicationUser;
    const createsRoles = !server.load;
    const rights = await controlRights(session, {
      info,
      live,
      profile,
      owner,
      actsAs: [],
      createsRoles,
    });
    const load = server.load ? await loadRoleChecks(session, server.load.user) : [];
    const found = live
      ? `the database ${live.name} is there, owned by ${live.owner}`
      : `the database ${server.liveName} doesn't exist: a restore creates it`;
    return [
      { id: 'postgres/live', status: live ? 'ok' : 'warning', message: found },
      ...(await liveObstacles(session, server, info, live)),
      ...rights.map(softened),
      ...load,
    ];
  } catch (error) {
    return [failure('postgres/rights', error, signal)];
  }
}

/** Without CREATEROLE our own archives still restore: only foreign files don't. */
function softened(result: CheckResult): CheckResult {
  const isSoft = result.id === 'postgres/rights/createrole' && result.status === 'failed';
  return isSoft ? { ...result, status: 'warning' } : result;
}

async function restoreClient(session: Session, signal: AbortSignal): Promise<CheckResult> {
  const need = { serverMajor: session.major, programs: ['pg_restore'] as const };
  const client = await chooseClient(need, signal);
  const message = `pg_restore ${client.version} for server ${session.version} (${client.folder})`;
  return { id: 'postgres/client', status: 'ok', message };
}

async function psqlClient(session: Session, signal: AbortSignal): Promise<CheckResult> {
  const id = 'postgres/psql';
  try {
    const client = await choosePsql(session.major, signal);
    const message = `psql ${client.version} holds a hostile script (${client.folder})`;
    return { id, status: 'ok', message };
  } catch (error) {
    return failure(id, error, signal);
  }
}

async function lockCheck(server: Server, session: Session): Promise<CheckResult> {
  const id = 'postgres/lock';
  const holder = await lockHolder(session, server.liveName);
  const where = `in the database ${server.maintenanceDatabase}`;
  if (holder === undefined) return { id, status: 'ok', message: `the lock is free (${where})` };
  const message = `the lock is held by ${holder}: the next backup or restore waits for it`;
  return { id, status: 'ok', message };
}
