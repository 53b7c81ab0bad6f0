import type { TableCount } from '../../../archive/manifest.ts';
import type { PostgresConnection } from '../../../config/config.ts';
import { encryptionOf } from '../../../encryption/age-encrypt.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { openExclusive } from '../../../runtime/durable-files.ts';
import { DropbackError, toDropbackError } from '../../../runtime/errors.ts';
import { together } from '../../../runtime/together.ts';
import type { Dump, DumpRequest } from '../../engine.ts';
import type { CatalogTable } from '../catalog.ts';
import { chooseClient } from '../clients.ts';
import { connect } from '../connection.ts';
import { mayReadPasswords } from '../globals/read-saved-roles.ts';
import type { Session } from '../session.ts';
import { countRows } from './count.ts';
import { type WrittenArchive, writeArchive } from './dump-archive.ts';
import type { DumpCommand } from './dump-command.ts';
import {
  type DumpDescription,
  describeDatabase,
  LARGE_OBJECTS,
  withoutCounts,
} from './dump-description.ts';
import { writeEncryptedArchive } from './dump-encrypted.ts';
import { leaveOutExcluded } from './dump-excluded.ts';
import { type GrantedJobs, grantJobs, MOST_FILES } from './dump-jobs.ts';
import { isChangedUnderneath } from './dump-messages.ts';
import { writeParallelArchive } from './dump-parallel.ts';
import { findMissingRights, missingRightsError } from './dump-rights.ts';
import { mayBeMadeUp } from './finished-files.ts';
import { withLockWatch } from './lock-watch.ts';
import { type Snapshot, takeSnapshot } from './snapshot.ts';

const ATTEMPTS = 2;

const STREAMED = { format: 'postgres-custom', compression: 'zstd' } as const;
/** Compressed inside: each file of the directory is. */
const PACKED = { format: 'postgres-directory', compression: 'none' } as const;

const NO_PASSWORDS =
  'BACKUP_ROLE_PASSWORDS has no effect: only a superuser may read the passwords of roles';

export interface DumpSettings {
  readonly connection: PostgresConnection;
  readonly clock: Clock;
  /** Milliseconds to wait for a table that somebody locks even against reading. */
  readonly lockWaitMs: number;
  /** More than one: a directory in a tar; fewer dump it where connections are scarce. */
  readonly jobs: number;
  /** Of age; none: not encrypted. */
  readonly recipients: readonly string[];
}

/** Which of the two forms a dump with so many jobs has. */
export function isParallel(jobs: number): boolean {
  return jobs > 1;
}

/** Dumps into the spool; once more where a lock, a change of the schema or a strange name got in the way. */
export async function dumpDatabase(
  settings: DumpSettings,
  request: DumpRequest,
  signal: AbortSignal,
): Promise<Dump> {
  await (await openExclusive(request.spool)).close();
  for (let attempt = 1; ; attempt++) {
    try {
      return await attemptDump(settings, request, attempt, signal);
    } catch (error) {
      const known = toDropbackError(error);
      const mayHelp =
        known.code === 'backup/locked' ||
        isChangedUnderneath(known) ||
        mayBeMadeUp(known) ||
        // Fewer sessions lock fewer tables.
        (known.code === 'database/out-of-locks' && isParallel(settings.jobs));
      if (!mayHelp || attempt === ATTEMPTS) throw known;
      request.log.warn({ error: known }, 'the dump is tried once more');
    }
  }
}

async function attemptDump(
  settings: DumpSettings,
  request: DumpRequest,
  attempt: number,
  signal: AbortSignal,
): Promise<Dump> {
  const { connection, lockWaitMs } = settings;
  // Without limits of time: it has to stay open, however long the dump takes.
  await using session = await connect(connection, {
    applicationName: 'dropback snapshot',
    signal,
    statementTimeoutMs: 0,
    idleInTransactionMs: 0,
    lockTimeoutMs: lockWaitMs,
    options: { row_security: 'off' },
  });
  const client = await chooseClient({ serverMajor: session.major }, signal);
  const missing = missingRightsError(await findMissingRights(session));
  if (missing) throw missing;
  const isStandby = await isInRecovery(session);
  const granted = await grant(session, settings.jobs, attempt);
  if (granted?.warning !== undefined) request.log.warn({}, granted.warning);
  const snapshot = await takeSnapshot(session, {
    waitMs: lockWaitMs,
    clock: settings.clock,
    signal,
  });
  const asked = request.rolePasswords === true;
  const passwords = asked && (await mayReadPasswords(session));
  const description = await describeDatabase(session, connection.database, passwords);
  if (granted) requireFewFiles(snapshot, description);
  const command: DumpCommand = {
    connection,
    client,
    serverMajor: session.major,
    snapshot: snapshot.id,
    snapshotAt: snapshot.takenAt,
    lockWaitMs,
    skipUnlogged: isStandby,
  };
  // The session, and with it the snapshot, stays open until every job has ended.
  const [archive, tables] = await together(
    AbortSignal.any([signal, session.lost]),
    (joint) =>
      withLockWatch(command, settings.clock, joint, (watched) =>
        write(command, granted, settings.recipients, request, watched),
      ),
    (joint) => count(session, countable(snapshot, command), request, joint),
  );
  const { warnings, readOnTheWay, ...facts } = archive;
  const form = granted ? PACKED : STREAMED;
  const dump: Dump = {
    ...description,
    snapshotAt: snapshot.takenAt.toISOString(),
    archive: { ...form, ...facts, ...encryptionOf(settings.recipients) },
    ...(readOnTheWay ? { readOnTheWay } : {}),
    tool: { name: 'pg_dump', version: client.version },
    tables,
    warnings: [
      ...(granted?.warning === undefined ? [] : [granted.warning]),
      ...warnings,
      ...(asked && !passwords ? [NO_PASSWORDS] : []),
      ...snapshotWarnings(snapshot, isStandby),
    ],
  };
  const { excludeTableData, rowCounts, spool } = request;
  const all = countable(snapshot, command);
  const isCounted = rowCounts === 'exact';
  const told = isCounted ? dump : withoutCounts(dump, all.length, excludeTableData);
  if (excludeTableData.length === 0) return told;
  const names = all.map(({ schema, name }) => ({ schema, name }));
  return await leaveOutExcluded(spool, told, isCounted ? tables : names, signal);
}

/**
 * The second time by one session alone: it has its tables already when somebody asks for one of them
 * for himself, whereas a further job is refused then.
 */
async function grant(
  session: Session,
  jobs: number,
  attempt: number,
): Promise<GrantedJobs | undefined> {
  if (!isParallel(jobs)) return undefined;
  return attempt > 1 ? { jobs: 1 } : await grantJobs(session, jobs);
}

function write(
  command: DumpCommand,
  granted: GrantedJobs | undefined,
  recipients: readonly string[],
  request: DumpRequest,
  signal: AbortSignal,
): Promise<WrittenArchive & Pick<Dump, 'readOnTheWay'>> {
  if (recipients.length > 0) return writeEncryptedArchive(command, request, recipients, signal);
  if (granted === undefined) return writeArchive(command, request, signal);
  return writeParallelArchive(command, granted.jobs, request, signal);
}

async function count(
  session: Session,
  tables: readonly CatalogTable[],
  request: DumpRequest,
  signal: AbortSignal,
): Promise<TableCount[]> {
  return request.rowCounts === 'exact' ? countRows(session, tables, signal) : [];
}

/** A directory has a file for each table and each large object; the tar must stay readable. */
function requireFewFiles(snapshot: Snapshot, { database }: DumpDescription): void {
  const objects = Number(database.properties[LARGE_OBJECTS] ?? 0);
  const files = snapshot.tables.length + objects;
  if (files <= MOST_FILES) return;
  throw new DropbackError(
    'backup/too-many-files',
    `${objects} large objects are too many for a dump with several jobs`,
    { hint: 'set BACKUP_JOBS to 1: one stream holds any number of them.', facts: { files } },
  );
}

function countable(snapshot: Snapshot, command: DumpCommand): CatalogTable[] {
  return snapshot.tables.filter((table) => !(command.skipUnlogged && table.isUnlogged));
}

async function isInRecovery(session: Session): Promise<boolean> {
  const row = await session.queryOne<{ recovery: boolean }>(
    'SELECT pg_is_in_recovery() AS recovery',
  );
  return row.recovery;
}

function snapshotWarnings(snapshot: Snapshot, isStandby: boolean): string[] {
  const warnings: string[] = [];
  if (!snapshot.isLocked) {
    warnings.push(
      'the server has too few lock slots (max_locks_per_transaction) to hold all tables while they are counted',
    );
  }
  const unlogged = isStandby ? snapshot.tables.filter((table) => table.isUnlogged) : [];
  if (unlogged.length > 0) {
    const names = unlogged.map(({ schema, name }) => `${schema}.${name}`);
    warnings.push(`a standby cannot read unlogged tables; left out: ${names.join(', ')}`);
  }
  return warnings;
}
