import type { RestoreConfig } from '../../core/config/config.ts';
import { restorePlace } from '../../core/config/restore-places.ts';
import { databaseAddress } from '../../core/engines/database-address.ts';
import {
  type DaemonProblem,
  isRestoreLive,
  type RestoreDaemonStatus,
} from '../../core/requests/daemon-status.ts';
import { EXIT_CODES } from '../../core/requests/protocol.ts';
import type { RestoreReport } from '../../core/requests/report.ts';
import type { CliContext } from '../context.ts';
import { type DatabaseOption, forEach, undoCommand } from '../databases.ts';
import { colour, printable, type Terminal } from '../terminal.ts';
import { bytesText, countText, durationText } from '../units.ts';

/** How db-restore stands for one database; JSON. */
export interface RestoreView extends RestoreDaemonStatus {
  readonly name: string;
  readonly database: string;
  readonly health: 'healthy' | 'unhealthy';
  readonly daemon: 'running' | 'not answering' | 'not asked';
  readonly dropFolder: string;
  /** What takes the kept database back, as it has to be typed. */
  readonly undo: string;
}

/** What db-restore does, what stands in its way, and what it did last. */
export async function restoreStatus(options: DatabaseOption, context: CliContext): Promise<void> {
  const { terminal, clock } = context;
  const databases: RestoreView[] = [];
  for (const own of forEach(options, context)) {
    databases.push(await viewOf(own.config.restore(), own));
  }
  if (options.json) terminal.out(JSON.stringify({ databases }, null, 2));
  else for (const database of databases) printRestoreStatus(database, terminal, clock.now());
  const isWell = databases.every(({ health }) => health === 'healthy');
  context.setExitCode(isWell ? EXIT_CODES.done : EXIT_CODES.needsAttention);
}

async function viewOf(
  config: RestoreConfig,
  { operations, signal }: CliContext,
): Promise<RestoreView> {
  const { status, isAlive } = await operations.restoreStatus(config, signal);
  const isAsked = config.healthPort !== 0;
  const isSilent = !isAlive && isAsked;
  const problems = [...(isSilent ? [silence(config.healthPort)] : []), ...status.problems];
  return {
    name: config.name,
    database: databaseAddress(config.database),
    health: isRestoreLive({ ...status, problems }) ? 'healthy' : 'unhealthy',
    daemon: isAlive ? 'running' : isAsked ? 'not answering' : 'not asked',
    dropFolder: restorePlace(config, 'incoming'),
    undo: undoCommand(config),
    ...status,
    problems,
  };
}

function silence(port: number): DaemonProblem {
  return {
    id: 'request/no-answer',
    message: `db-restore says nothing of itself on port ${port}`,
    hint: 'its log says why. What follows is what it noted last.',
  };
}

/** For people: a line each, under the database's name. */
export function printRestoreStatus(view: RestoreView, terminal: Terminal, now: Date): void {
  const { name, database, health, problems } = view;
  const shown = colour(terminal, health === 'healthy' ? 'green' : 'red', health);
  terminal.out(`${name}  ${printable(database)}  ${shown}`);
  for (const { message, hint } of problems) {
    terminal.out(`  ${colour(terminal, 'yellow', '!')} ${printable(message)}`);
    for (const line of printable(hint, '\n').split('\n')) terminal.out(`    → ${line}`);
  }
  for (const [title, text] of linesOf(view, now)) {
    terminal.out(`  ${title.padEnd(14)}${printable(text)}`);
  }
}

function linesOf(view: RestoreView, now: Date): [string, string][] {
  const { last, dropFolder } = view;
  return [
    ['state', stateText(view)],
    ['drop folder', `${dropFolder}: ${queueText(view)}`],
    ['last', last ? lastText(last, now) : 'nothing was restored yet'],
    ['kept', keptText(view, now)],
  ];
}

const states: Record<RestoreDaemonStatus['state'], string> = {
  starting: 'starting',
  'waiting-for-other-daemon': 'waits for another db-restore, which works on this folder',
  recovering: 'brings in order what was interrupted',
  idle: 'waits for drops',
  working: 'at work',
  blocked: 'restores nothing until somebody has looked',
  stopped: 'stopped',
};

function stateText({ state, current }: RestoreDaemonStatus): string {
  if (!current) return states[state];
  const { name, step, fraction, message } = current;
  const share = fraction === undefined ? '' : ` ${Math.floor(fraction * 100)}%`;
  return `${name}: ${message.startsWith(step) ? message : `${step}: ${message}`}${share}`;
}

const MOST_NAMED = 5;

function queueText({ queue, queued }: RestoreDaemonStatus): string {
  if (queued === 0) return 'nothing waits';
  const named = queue
    .slice(0, MOST_NAMED)
    .map(({ name, waitsFor }) => (waitsFor === undefined ? name : `${name} (${waitsFor})`));
  const more = queued - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${countText(more)} more` : ''} ${queued === 1 ? 'waits' : 'wait'}`;
}

function lastText(report: RestoreReport, now: Date): string {
  const { outcome, source, finishedAt, downtimeMs, error } = report;
  const ago = `${durationText(now.getTime() - Date.parse(finishedAt))} ago`;
  const away =
    downtimeMs === undefined ? '' : `, application stopped for ${durationText(downtimeMs)}`;
  const why = error ? `: ${error.code}: ${error.message}` : '';
  return `${outcome} ${source}, ${ago}${away}${why}`;
}

function keptText({ previous, undo }: RestoreView, now: Date): string {
  const [newest] = previous.filter(({ ofAnother }) => !ofAnother);
  if (!newest) return previous.length > 0 ? 'of another database: `dropback previous`' : 'nothing';
  const left = durationText(Date.parse(newest.keptUntil) - now.getTime());
  const size = bytesText(newest.bytes);
  return `the database that ${newest.replacedBy} replaced, ${size}, for ${left} more: \`${undo}\``;
}
