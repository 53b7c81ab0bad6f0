import type { PostgresConnection } from '../../../config/config.ts';
import { findProgram } from '../../../runtime/process/find-program.ts';
import type { CheckResult } from '../../engine.ts';
import { chooseClient } from '../clients.ts';
import { connect } from '../connection.ts';
import { failure, guarded } from '../guarded-check.ts';
import { lockHolder } from '../lock.ts';
import { readConnectionRoom } from '../server-info.ts';
import type { Session } from '../session.ts';
import { isParallel } from './dump.ts';
import { findMissingRights, missingRightsError } from './dump-rights.ts';

/** Sessions of a backup: snapshot, pg_dump, lock. */
const CONNECTIONS_NEEDED = 3;
const STREAM_FILTERS = [['zstd', 'zstd']] as const;
const PACK_FILTERS = [['tar', 'tar']] as const;
const FILTERS = [
  ['tee', 'coreutils'],
  ['sha256sum', 'coreutils'],
] as const;

export interface CheckTarget {
  readonly connection: PostgresConnection;
  readonly maintenanceDatabase: string;
  /** BACKUP_JOBS. */
  readonly jobs: number;
}

/** What a backup needs, looked at with real calls. Never throws for a finding. */
export async function backupChecks(
  target: CheckTarget,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const results = filterChecks(target.jobs);
  try {
    await using session = await connect(target.connection, {
      applicationName: 'dropback checks',
      signal,
      options: { row_security: 'off' },
    });
    results.push(reached(session));
    results.push(await guarded('postgres/client', signal, () => clientCheck(session, signal)));
    results.push(await guarded('postgres/rights/read', signal, () => rightsCheck(session)));
    results.push(
      await guarded('postgres/connections', signal, () => roomCheck(session, target.jobs)),
    );
  } catch (error) {
    results.push(failure('postgres/reachable', error, signal));
  }
  results.push(await guarded('postgres/lock', signal, () => lockCheck(target, signal)));
  return results;
}

function filterChecks(jobs: number): CheckResult[] {
  const first = isParallel(jobs) ? PACK_FILTERS : STREAM_FILTERS;
  return [...first, ...FILTERS].map(([name, packageName]) => {
    const id = `tools/${name}`;
    const path = findProgram(name);
    if (path) return { id, status: 'ok', message: `${name} is ${path}` };
    const hint = `install the package ${packageName}; the dropback image has it.`;
    return { id, status: 'failed', message: `the program ${name} is not installed`, hint };
  });
}

function reached(session: Session): CheckResult {
  const message = `${session.where} answers, PostgreSQL ${session.version}, not through a pooler`;
  return { id: 'postgres/reachable', status: 'ok', message };
}

async function clientCheck(session: Session, signal: AbortSignal): Promise<CheckResult> {
  const client = await chooseClient({ serverMajor: session.major }, signal);
  const message = `pg_dump ${client.version} for server ${session.version} (${client.folder})`;
  return { id: 'postgres/client', status: 'ok', message };
}

async function rightsCheck(session: Session): Promise<CheckResult> {
  const id = 'postgres/rights/read';
  const missing = missingRightsError(await findMissingRights(session));
  if (missing) return { id, status: 'failed', message: missing.message, hint: missing.hint };
  return { id, status: 'ok', message: 'the role may read everything that a dump holds' };
}

async function roomCheck(session: Session, jobs: number): Promise<CheckResult> {
  const id = 'postgres/connections';
  const { free, most, used } = await readConnectionRoom(session);
  // This session's own place is free again when the backup runs.
  const available = free + 1;
  const message = `${available} connections are free for this role (${used} of ${most} in use)`;
  const needed = CONNECTIONS_NEEDED + (isParallel(jobs) ? jobs : 0);
  if (available >= needed) return { id, status: 'ok', message };
  return {
    id,
    status: 'warning',
    message,
    hint: `a backup opens ${needed}: raise max_connections or the role's CONNECTION LIMIT, or let the application use fewer.`,
  };
}

async function lockCheck(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  const { connection, maintenanceDatabase: database } = target;
  const id = 'postgres/lock';
  await using session = await connect(connection, {
    database,
    applicationName: 'dropback checks',
    signal,
  });
  const holder = await lockHolder(session, connection.database);
  if (holder === undefined) {
    return { id, status: 'ok', message: `the lock is free (in the database ${database})` };
  }
  const message = `the lock is held by ${holder}: the next backup or restore waits for it`;
  return { id, status: 'ok', message };
}
