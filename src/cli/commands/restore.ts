import { lstat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { restorePlace } from '../../core/config/restore-places.ts';
import { type Ask, RequestClient } from '../../core/requests/client.ts';
import type { RequestResult, RequestStatus } from '../../core/requests/protocol.ts';
import type { RestoreReport } from '../../core/requests/report.ts';
import { DropbackError, isAbort } from '../../core/runtime/errors.ts';
import type { CliContext } from '../context.ts';
import { undoCommand } from '../databases.ts';
import { ProgressBar } from '../progress-bar.ts';
import { colour, printable, printError, type Terminal } from '../terminal.ts';
import { bytesText, countText, durationText } from '../units.ts';

export interface RestoreOptions {
  readonly into?: string;
  readonly force?: boolean;
  readonly globals?: boolean;
  readonly json?: boolean;
}

/** The daemon looks at requests every poll interval; this is long past that. */
const TAKEN_WITHIN_MS = 60_000;

/** `dropback restore <file | id | latest>`: asks db-restore, and follows it to the end. */
export async function restore(
  source: string,
  options: RestoreOptions,
  context: CliContext,
): Promise<void> {
  const target = options.into === undefined ? {} : { into: options.into };
  const force = options.force ? { force: true } : {};
  const globals = options.globals ? { globals: true } : {};
  await ask(
    { kind: 'restore', ...(await sourceOf(source)), ...target, ...force, ...globals },
    options,
    context,
  );
}

/** `dropback check <file | id | latest>`: everything up to the swap, then staging is dropped. */
export async function check(
  source: string,
  options: RestoreOptions,
  context: CliContext,
): Promise<void> {
  const force = options.force ? { force: true } : {};
  await ask({ kind: 'check', ...(await sourceOf(source)), ...force }, options, context);
}

/** `dropback undo [id]`: swaps a kept database back in. */
export async function undo(
  previousId: string | undefined,
  options: RestoreOptions,
  context: CliContext,
): Promise<void> {
  const which = previousId === undefined ? {} : { previousId };
  await ask({ kind: 'undo', ...which }, options, context);
}

/** A path that exists is a file; everything else is looked up in the catalogue by the daemon. */
async function sourceOf(source: string): Promise<Pick<Ask, 'file' | 'backupId'>> {
  const path = resolve(source);
  const found = await lstat(path).catch(() => undefined);
  if (found?.isFile()) return { file: path };
  if (found || source.includes('/') || /\.(sql|dump|db|sqlite3?|tar)(\.\w+)?$/.test(source)) {
    throw new DropbackError(
      'cli/no-such-file',
      `${path} ${found ? 'is not a file' : 'does not exist'}`,
      {
        hint: 'give a dump file, the id of a backup (`dropback list`), or `latest`. In a container ./restore is /restore, and ./backups is /backups.',
      },
    );
  }
  return { backupId: source };
}

async function ask(what: Ask, options: RestoreOptions, context: CliContext): Promise<void> {
  const { terminal, clock, signal } = context;
  const config = context.config.restore();
  const client = new RequestClient(restorePlace(config, 'requests'), clock);
  const bar = new ProgressBar(terminal);
  try {
    const id = await client.submit(what, signal);
    bar.update('waiting for db-restore', undefined);
    const result = await client
      .follow(id, {
        signal,
        takenWithinMs: TAKEN_WITHIN_MS,
        onStatus: (status) => {
          // In a log the result alone tells it; on a terminal the bar fills first.
          if (!status.result) bar.update(statusLabel(status), status.fraction);
          else if (terminal.interactive && status.result.exitCode === 0)
            bar.update(statusLabel(status), 1);
        },
      })
      .catch(async (error: unknown) => {
        bar.clear();
        if (isAbort(error)) await tellInterrupted(client, id, terminal);
        throw error;
      });
    bar.clear();
    if (options.json) terminal.out(JSON.stringify(result, null, 2));
    else printResult(terminal, result, undoCommand(config));
    context.setExitCode(result.exitCode);
  } finally {
    bar.clear();
  }
}

/** Ctrl-C ends the following alone: what the daemon has begun goes on. */
async function tellInterrupted(client: RequestClient, id: string, terminal: Terminal) {
  const withdrawn = await client.withdraw(id);
  terminal.err(
    withdrawn
      ? 'taken back: db-restore had not begun with it'
      : 'db-restore goes on with it: its log and report tell the end',
  );
}

function statusLabel({ step, message }: RequestStatus): string {
  return step && !message.startsWith(step) ? `${step}: ${message}` : message;
}

const headlines: Record<RestoreReport['outcome'], string> = {
  restored: 'restored',
  checked: 'this would restore',
  undone: 'undone: the previous database is live again',
  refused: 'refused; the live database is untouched',
  failed: 'failed; the live database is the one that it was',
};

function printResult(
  terminal: Terminal,
  { report, error, exitCode }: RequestResult,
  undoing: string,
): void {
  if (report) printReport(terminal, report, exitCode === 0, undoing);
  const shown = report?.error ?? error;
  if (shown) printError(terminal, shown);
}

/** Its own stopping and starting come on top, and are not ours to shorten. */
function stoppedText(downtimeMs: number, steps: RestoreReport['steps']): string {
  const took = (name: string) => steps.find((step) => step.name === name)?.durationMs;
  const [stop, start] = [took('stop'), took('start')];
  const around =
    stop === undefined || start === undefined
      ? ''
      : `, stopping it took ${durationText(stop)}, starting it ${durationText(start)}`;
  return `application stopped for ${durationText(downtimeMs)}${around}`;
}

function printReport(
  terminal: Terminal,
  report: RestoreReport,
  good: boolean,
  undoing: string,
): void {
  const { outcome, source, target, durationMs, downtimeMs, rows, bytes } = report;
  const headline = colour(terminal, good ? 'green' : 'red', headlines[outcome]);
  terminal.out(`${headline}: ${printable(source)} → ${printable(target)}`);
  const facts = [`took ${durationText(durationMs)}`];
  if (bytes !== undefined) facts.push(bytesText(bytes));
  if (rows !== undefined) facts.push(`${countText(rows)} rows`);
  if (downtimeMs !== undefined) facts.push(stoppedText(downtimeMs, report.steps));
  terminal.out(`  ${facts.join(', ')}`);
  for (const line of report.differences ?? []) terminal.out(`  ${printable(line)}`);
  for (const line of report.warnings)
    terminal.out(`  ${colour(terminal, 'yellow', 'warning')}: ${printable(line)}`);
  if (report.previous && (outcome === 'restored' || outcome === 'undone')) {
    const until = `${report.previous.keptUntil.slice(0, 19)}Z`;
    terminal.out(`  the database that was live before is kept until ${until}: \`${undoing}\``);
  }
}
