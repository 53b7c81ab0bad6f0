import { parseArchiveId } from '../../core/archive/archive-name.ts';
import { EXIT_CODES } from '../../core/requests/protocol.ts';
import type { StorePrune } from '../../core/retention/report.ts';
import type { CliContext } from '../context.ts';
import { type DatabaseOption, forEach } from '../databases.ts';
import { chosenDaemon, type DaemonChoice } from '../own-container.ts';
import { sparkline } from '../sparkline.ts';
import { type DatabaseStatus, gatherStatus, type VerifiedBackup } from '../status/gather.ts';
import { restoreStatus } from '../status/of-restore.ts';
import { colour, printable, type Terminal } from '../terminal.ts';
import { bytesText, counted, durationText } from '../units.ts';

export interface StatusOptions extends DatabaseOption {
  /** Default: the daemon whose container this is, else db-backup. */
  readonly for?: DaemonChoice;
}

/** How a daemon and its work stand, at a glance; exits with 4 when somebody should look. */
export async function status(options: StatusOptions, context: CliContext): Promise<void> {
  const { terminal, clock } = context;
  if (chosenDaemon(options, context.config) === 'db-restore') {
    await restoreStatus(options, context);
    return;
  }
  const databases: DatabaseStatus[] = [];
  for (const own of forEach(options, context)) {
    databases.push(await gatherStatus(own.config.backup(), own));
  }
  if (options.json) terminal.out(JSON.stringify({ databases }, null, 2));
  else for (const database of databases) printStatus(database, terminal, clock.now());
  const isWell = databases.every(({ health }) => health === 'healthy');
  context.setExitCode(isWell ? EXIT_CODES.done : EXIT_CODES.needsAttention);
}

const colours = { healthy: 'green', degraded: 'yellow', unhealthy: 'red' } as const;

/** For people: a line each, under the database's name. */
export function printStatus(database: DatabaseStatus, terminal: Terminal, now: Date): void {
  const { name, health, problems } = database;
  const shown = colour(terminal, colours[health], health);
  terminal.out(`${name}  ${printable(database.database)}  ${shown}`);
  for (const problem of problems) {
    terminal.out(`  ${colour(terminal, 'yellow', '!')} ${printable(problem)}`);
  }
  for (const [title, text] of linesOf(database, now)) {
    terminal.out(`  ${title.padEnd(14)}${printable(text)}`);
  }
}

function linesOf(database: DatabaseStatus, now: Date): [string, string][] {
  const { lastGood, lastFailure, nextRehearsalAt, uploads } = database;
  const ago = (at: string) => `${durationText(now.getTime() - Date.parse(at))} ago`;
  const ahead = (at: string) => {
    const left = Date.parse(at) - now.getTime();
    return left > 0 ? `in ${durationText(left)} (${at.slice(0, 19)}Z)` : 'now';
  };
  const lines: [string, string][] = [];
  if (lastGood) {
    const { id, createdAt, bytes, rows, tables, where, encrypted } = lastGood;
    const content = `${counted(rows, 'row')} in ${counted(tables, 'table')}`;
    const facts = [ago(createdAt), bytesText(bytes), content, where.join(' + ')];
    if (encrypted) facts.push('encrypted');
    lines.push(['last good', `${id}, ${facts.join(', ')}`]);
  } else lines.push(['last good', 'none']);
  lines.push(['verified', verifiedText(database.verified, ago)]);
  for (const one of [database.verified.archive, database.verified.restore]) {
    for (const line of one?.notCovered ?? []) lines.push(['not covered', printable(line)]);
  }
  if (lastFailure) {
    const { at, error } = lastFailure;
    lines.push(['last failure', `${ago(at)}: ${error.code}: ${error.message}`]);
  } else lines.push(['last failure', 'none']);
  lines.push(['next run', nextRunText(database, ahead)]);
  if (nextRehearsalAt) lines.push(['rehearsal', ahead(nextRehearsalAt)]);
  if (database.sizes.length > 0) lines.push(['size', sizeText(database.sizes)]);
  if (uploads) lines.push(['uploads', uploadsText(uploads, ago)]);
  for (const report of database.retention) {
    lines.push([`kept ${report.where}`, keptText(report, now)]);
  }
  return lines;
}

function nextRunText({ nextRunAt, daemon }: DatabaseStatus, ahead: (at: string) => string): string {
  const isAsked = daemon !== 'not asked';
  if (nextRunAt === undefined) return `not known${isAsked ? ': db-backup does not answer' : ''}`;
  return isAsked ? ahead(nextRunAt) : `${ahead(nextRunAt)}, as db-backup has noted (HEALTH_PORT=0)`;
}

function verifiedText(
  { archive, restore }: DatabaseStatus['verified'],
  ago: (at: string) => string,
): string {
  const text = (verb: string, { id, at, rows, durationMs, notCovered }: VerifiedBackup) => {
    const content = rows === undefined ? '' : `, ${counted(rows, 'row')}`;
    const part = notCovered ? ', in part' : '';
    return `${verb}${part} ${ago(at)} (${id}${content}, ${durationText(durationMs)})`;
  };
  const parts = [
    ...(archive ? [text('read back', archive)] : []),
    restore ? text('restored as a test', restore) : 'never restored as a test',
  ];
  return parts.join('; ');
}

function sizeText(sizes: DatabaseStatus['sizes']): string {
  const values = sizes.map(({ bytes }) => bytes);
  const newest = bytesText(values.at(-1) ?? 0);
  if (values.length === 1) return newest;
  const range = `${bytesText(Math.min(...values))} to ${bytesText(Math.max(...values))}`;
  return `${sparkline(values)}  ${newest}  (the last ${values.length}: ${range})`;
}

function uploadsText(
  { waiting, oldest, lastError }: NonNullable<DatabaseStatus['uploads']>,
  ago: (at: string) => string,
): string {
  if (waiting === 0) return 'everything is uploaded';
  const since = oldest && parseArchiveId(oldest)?.at.toISOString();
  const age = since ? `, the oldest from ${ago(since)}` : '';
  return `${waiting} not uploaded${age}${lastError ? `: ${lastError.message}` : ''}`;
}

function keptText({ plan, bytes, error, others, onlyPlanned }: StorePrune, now: Date): string {
  if (!plan) return `not known: ${error?.message}`;
  const ids = [...plan.keep, ...plan.remove].map(({ id }) => id);
  const oldest = plan.keep.at(-1);
  const at = oldest && parseArchiveId(oldest.id)?.at.getTime();
  const size = bytesText(ids.reduce((sum, id) => sum + (bytes[id] ?? 0), 0));
  const parts = [`${counted(ids.length, 'backup')}, ${size}`];
  if (at !== undefined) parts.push(`the oldest to keep is ${durationText(now.getTime() - at)} old`);
  if (plan.held) parts.push(`nothing is removed: ${plan.held}`);
  else if (plan.remove.length > 0) parts.push(`${plan.remove.length} to remove`);
  if (others) parts.push(`${counted(others.ids.length, 'backup')} of another db-backup left alone`);
  if (onlyPlanned) parts.push(onlyPlanned);
  return parts.join('; ');
}
