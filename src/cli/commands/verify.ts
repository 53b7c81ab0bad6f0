import type { VerifyOutcome, VerifyReport } from '../../core/archive/verify-report.ts';
import { EXIT_CODES, type ExitCode } from '../../core/requests/protocol.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import type { CliContext } from '../context.ts';
import { requireBackupContainer } from '../own-container.ts';
import { ProgressBar } from '../progress-bar.ts';
import { colour, printable, type Terminal } from '../terminal.ts';
import { bytesText, counted, durationText } from '../units.ts';

export interface VerifyOptions {
  readonly all?: boolean;
  readonly restore?: boolean;
  readonly store?: 'local' | 's3';
  readonly json?: boolean;
}

/** Reads backups again, whole; exits with 1 for a bad one, 75 where one could not be verified. */
export async function verify(
  id: string | undefined,
  options: VerifyOptions,
  context: CliContext,
): Promise<void> {
  const { terminal, operations, signal } = context;
  requireBackupContainer('verify', context);
  if (options.all && id !== undefined) {
    throw new DropbackError('request/ambiguous', 'an id and --all were both given', {
      hint: 'give one of the two.',
    });
  }
  const bar = new ProgressBar(terminal);
  try {
    const selection = options.all ? 'all' : id === undefined || id === 'latest' ? 'latest' : { id };
    const { store } = options;
    const request = {
      selection,
      restore: options.restore === true,
      ...(store ? { store } : {}),
      onProgress: (message: string) => {
        if (terminal.interactive) bar.update(message, undefined);
      },
    } as const;
    const outcome = await operations.verify(context.config.backup(), request, signal);
    bar.clear();
    if (options.json) terminal.out(JSON.stringify(outcome, null, 2));
    else print(terminal, outcome);
    context.setExitCode(exitCode(outcome));
  } catch (error) {
    bar.clear();
    if (!(error instanceof DropbackError) || error.code !== 'store/not-found') throw error;
    // Not `failed`, which says of a backup that it is bad.
    throw new DropbackError('request/no-such-backup', error.message, {
      hint: '`dropback list` shows what there is.',
      cause: error,
    });
  } finally {
    bar.clear();
  }
}

function exitCode({ reports, unasked }: VerifyOutcome): ExitCode {
  const isBad = ({ status }: VerifyReport) => status === 'failed' || status === 'unreadable';
  if (reports.some(isBad)) return EXIT_CODES.failed;
  if (unasked.length > 0 || reports.some(({ status }) => status === 'inconclusive')) {
    return EXIT_CODES.tryAgain;
  }
  // `--all` of nothing proves nothing.
  return reports.length === 0 ? EXIT_CODES.refused : EXIT_CODES.done;
}

const marks = {
  ok: ['green', 'ok          '],
  failed: ['red', 'FAILED      '],
  unreadable: ['red', 'UNREADABLE  '],
  inconclusive: ['yellow', 'inconclusive'],
} as const;

function print(terminal: Terminal, { reports, unasked }: VerifyOutcome): void {
  for (const report of reports) printReport(terminal, report);
  for (const { where, error } of unasked) {
    terminal.out(`${colour(terminal, 'yellow', 'not asked   ')}  ${where}: ${error.message}`);
    terminal.out(`              → ${printable(error.hint)}`);
  }
  if (reports.length === 0 && unasked.length === 0) terminal.err('there are no backups to verify');
}

function printReport(terminal: Terminal, report: VerifyReport): void {
  const [name, mark] = marks[report.status];
  terminal.out(`${colour(terminal, name, mark)}  ${report.id}  ${what(report)}`);
  const { error, warnings, notCovered = [] } = report;
  if (error) {
    terminal.out(`              ${error.code}: ${printable(error.message)}`);
    terminal.out(`              → ${printable(error.hint)}`);
  }
  for (const line of notCovered) {
    terminal.out(`              not covered: ${printable(line)}`);
  }
  for (const warning of warnings) terminal.out(`              note: ${printable(warning)}`);
}

function what(report: VerifyReport): string {
  const { kind, where, status, bytes, rows, tables, durationMs, notCovered } = report;
  const size = bytes === undefined ? '' : `, ${bytesText(bytes)}`;
  const took = durationText(durationMs);
  if (kind === 'archive') {
    const verb = status === 'ok' ? 'every byte is as it was written' : 'archive';
    return `${where}: ${verb}${size}, ${took}`;
  }
  const content =
    rows === undefined ? '' : `, ${counted(rows, 'row')} in ${counted(tables ?? 0, 'table')}`;
  const part = notCovered ? ', in part' : '';
  const verb = status === 'ok' ? `restored as a test${part}` : 'restoring it as a test';
  return `${where}: ${verb}${content}, ${took}`;
}
