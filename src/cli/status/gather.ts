import { isAhead, newestOf } from '../../core/archive/newest.ts';
import type { Verification } from '../../core/archive/state-file.ts';
import { doubtOf } from '../../core/archive/state-findings.ts';
import type { BackupConfig } from '../../core/config/config.ts';
import { databaseAddress } from '../../core/engines/database-address.ts';
import {
  type BackupHealth,
  type BackupStatus,
  backupHealth,
  lastRunFailed,
  uploadsLagBehind,
} from '../../core/requests/backup-status.ts';
import { OWN_PLACE, type StorePrune } from '../../core/retention/report.ts';
import type { CatalogueEntry, CatalogueView } from '../../core/stores/catalogue.ts';
import { newestLostCopy } from '../../core/stores/lost-copy.ts';
import type { CliContext, KnownStatus } from '../context.ts';

/** How the backups of one database stand; JSON. */
export interface DatabaseStatus {
  readonly name: string;
  readonly database: string;
  readonly health: BackupHealth;
  /** What somebody should look at, one line each; empty when healthy. */
  readonly problems: readonly string[];
  /** Not asked where HEALTH_PORT is 0: then what it has noted last is told. */
  readonly daemon: 'running' | 'not answering' | 'not asked';
  readonly lastGood?: KnownBackup;
  readonly verified: {
    readonly archive?: VerifiedBackup;
    readonly restore?: VerifiedBackup;
    /** The latest that did not go well, where nothing has gone well since. */
    readonly problem?: VerifiedBackup;
  };
  readonly lastFailure?: BackupStatus['lastFailure'];
  readonly nextRunAt?: string;
  readonly nextRehearsalAt?: string;
  /** Of the latest backups, oldest first. */
  readonly sizes: readonly { readonly id: string; readonly bytes: number }[];
  readonly uploads?: {
    readonly waiting: number;
    readonly oldest?: string;
    readonly lastError?: BackupStatus['lastUploadError'];
  };
  readonly retention: readonly StorePrune[];
}

export interface KnownBackup {
  readonly id: string;
  readonly createdAt: string;
  readonly bytes: number;
  readonly rows: number;
  readonly tables: number;
  readonly where: CatalogueEntry['where'];
  readonly encrypted: boolean;
}

export type VerifiedBackup = Verification & { readonly id: string };

const MOST_SIZES = 30;
const MOST_DOUBTS = 5;

/** Asks the stores, the daemon, and what it has left on the volume. Throws only when aborted. */
export async function gatherStatus(
  config: BackupConfig,
  { operations, clock, signal }: CliContext,
): Promise<DatabaseStatus> {
  const [known, all, retention] = await Promise.all([
    operations.backupStatus(config, signal),
    operations.catalogue(config).then((catalogue) => catalogue.list(signal)),
    operations.prune(config, true, signal),
  ]);
  const view = withoutOthers(all, retention);
  return describe(config, withoutDrained(known, view), view, retention, clock.now());
}

/** What another db-backup puts into the same place says nothing of how this database stands. */
function withoutOthers(view: CatalogueView, retention: readonly StorePrune[]): CatalogueView {
  const ids = new Set(retention.flatMap(({ others }) => others?.ids ?? []));
  return { ...view, entries: view.entries.filter(({ id }) => !ids.has(id)) };
}

/** What waited when the daemon looked last may be there by now: `dropback backup` uploads it as well. */
function withoutDrained(known: KnownStatus, { entries, unreachable }: CatalogueView): KnownStatus {
  const { status } = known;
  const isDrained = unreachable.length === 0 && entries.every(({ uploaded }) => uploaded);
  return status && isDrained ? { ...known, status: { ...status, uploadBacklog: 0 } } : known;
}

function describe(
  config: BackupConfig,
  told: KnownStatus,
  view: CatalogueView,
  retention: readonly StorePrune[],
  now: Date,
): DatabaseStatus {
  const { status, isAlive, lastFailure } = told;
  const { entries } = view;
  const newest = newestOf(entries, timeOf, now);
  const verified = verifications(entries);
  const problems = findProblems(config, told, view, now);
  const shared = retention.find(({ others }) => others?.areWriting);
  if (shared) problems.push(`another db-backup writes to ${shared.store} too: ${OWN_PLACE}`);
  const { problem } = verified;
  const inDoubt = doubts(entries);
  problems.push(...inDoubt.slice(-MOST_DOUBTS).map(problemLine));
  if (problem && !inDoubt.some(({ id }) => id === problem.id)) problems.push(problemLine(problem));
  // A rehearsal that nobody could carry out is kept by the daemon alone.
  const unproven = status?.verification?.lastProblem;
  if (unproven && ![...inDoubt, problem].some((one) => one?.id === unproven.id)) {
    problems.push(problemLine(unproven));
  }
  const isInDoubt = inDoubt.some(({ id }) => id === newest?.id);
  const known = status ? backupHealth(status, now) : 'healthy';
  const isBad = known === 'unhealthy' || problem?.status === 'failed' || isInDoubt || !newest;
  const uploads = config.s3 ? uploadsOf(entries, status) : undefined;
  const { nextRunAt, verification } = status ?? {};
  const isAsked = config.healthPort !== 0;
  const isPlanKnown = isAlive || !isAsked;
  return {
    name: config.name,
    database: databaseAddress(config.database),
    health: isBad ? 'unhealthy' : problems.length > 0 ? 'degraded' : known,
    problems,
    daemon: isAlive ? 'running' : isAsked ? 'not answering' : 'not asked',
    ...(newest ? { lastGood: knownBackup(newest) } : {}),
    verified,
    ...(lastFailure ? { lastFailure } : {}),
    ...(isPlanKnown && nextRunAt ? { nextRunAt } : {}),
    ...(isPlanKnown && verification?.nextAt ? { nextRehearsalAt: verification.nextAt } : {}),
    sizes: entries.slice(-MOST_SIZES).map(({ id, bytes }) => ({ id, bytes })),
    ...(uploads ? { uploads } : {}),
    retention,
  };
}

function findProblems(
  config: BackupConfig,
  { status, isAlive, lastFailure }: KnownStatus,
  view: CatalogueView,
  now: Date,
): string[] {
  const problems: string[] = [];
  const newest = newestOf(view.entries, timeOf, now)?.manifest.createdAt;
  const ahead = view.entries.filter((entry) => isAhead(timeOf(entry), now)).at(-1);
  if (ahead)
    problems.push(`${ahead.id} is dated ahead of the clock: it counts as the newest nowhere`);
  if (!isAlive && config.healthPort !== 0) {
    problems.push(`db-backup does not answer on port ${config.healthPort}`);
  }
  if (newest === undefined) problems.push('there is no backup yet');
  if (status && now.getTime() > Date.parse(status.overdueAfter)) {
    problems.push('a backup is overdue');
  }
  if (lastRunFailed(lastFailure, newest, now)) {
    problems.push(`the last run failed: ${lastFailure?.error.message}`);
  }
  if (status && status.uploadBacklog > 0 && status.lastUploadError) {
    problems.push(`uploads fail: ${status.lastUploadError.message}`);
  } else if (status && uploadsLagBehind(status, now)) {
    problems.push('uploads are too slow: the oldest backup that is not uploaded is over a day old');
  }
  for (const { where, error } of view.unreachable) {
    problems.push(`${where} could not be asked: ${error.message}`);
  }
  const copy = newestLostCopy(view, now);
  if (copy) problems.push(`the uploaded copy of ${copy.id}, the newest backup, is gone from S3`);
  for (const id of view.conflicts) problems.push(`${id} is another backup in S3 than locally`);
  return problems;
}

function timeOf({ manifest }: CatalogueEntry): Date {
  return new Date(manifest.createdAt);
}

function verifications(entries: readonly CatalogueEntry[]): DatabaseStatus['verified'] {
  const all = entries.flatMap(({ id, state }) =>
    state.verifications.map((one) => ({ ...one, id })),
  );
  all.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const good = (kind: Verification['kind']) =>
    all.findLast((one) => one.kind === kind && one.status === 'ok');
  const [archive, restore] = [good('archive'), good('restore')];
  const problem = all.findLast(({ kind, status, at }) => {
    const since = kind === 'archive' ? archive : restore;
    return status !== 'ok' && Date.parse(at) > Date.parse(since?.at ?? '1970-01-01');
  });
  return {
    ...(archive ? { archive } : {}),
    ...(restore ? { restore } : {}),
    ...(problem ? { problem } : {}),
  };
}

/** What stands against backups, whatever went well with others since; the newest last. */
function doubts(entries: readonly CatalogueEntry[]): VerifiedBackup[] {
  return entries.flatMap(({ id, state }) => {
    const doubt = doubtOf(state);
    return doubt ? [{ ...doubt, id }] : [];
  });
}

function problemLine({ id, kind, status, error }: VerifiedBackup): string {
  const what = kind === 'archive' ? 'read back' : 'restored as a test';
  if (status === 'unreadable') return `${id} counts as verified no longer: ${error?.message}`;
  const verb = status === 'failed' ? `is not good, as it was ${what}` : `could not be ${what}`;
  return `${id} ${verb}: ${error?.message ?? 'no reason is known'}`;
}

function knownBackup({ id, manifest, bytes, where }: CatalogueEntry): KnownBackup {
  const { createdAt, tables, archive } = manifest;
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  const encrypted = archive.encryption !== undefined;
  return { id, createdAt, bytes, rows, tables: tables.length, where, encrypted };
}

function uploadsOf(
  entries: readonly CatalogueEntry[],
  status: BackupStatus | undefined,
): NonNullable<DatabaseStatus['uploads']> {
  const waiting = entries.filter(({ uploaded }) => !uploaded);
  const [oldest] = waiting;
  const error = waiting.length > 0 ? status?.lastUploadError : undefined;
  return {
    waiting: waiting.length,
    ...(oldest ? { oldest: oldest.id } : {}),
    ...(error ? { lastError: error } : {}),
  };
}
