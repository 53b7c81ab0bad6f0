import { configProblems } from '../../core/config/problems.ts';
import type { CheckResult } from '../../core/engines/engine.ts';
import { errorReport } from '../../core/runtime/errors.ts';
import type { CliContext } from '../context.ts';
import { colour, printable, type Terminal } from '../terminal.ts';

export interface DoctorOptions {
  readonly json?: boolean;
  /** Only what this daemon needs; default: both. */
  readonly for?: 'backup' | 'restore';
}

/** One line a check; exits with 1 when something would fail tonight. */
export async function doctor(options: DoctorOptions, context: CliContext): Promise<void> {
  const { config, operations, signal } = context;
  const results: CheckResult[] = [];
  if (options.for !== 'restore') {
    results.push(
      ...(await checksOf('db-backup', config.backup, (parsed) =>
        operations.checkBackup(parsed, signal),
      )),
    );
  }
  if (options.for !== 'backup') {
    results.push(
      ...(await checksOf('db-restore', config.restore, (parsed) =>
        operations.checkRestore(parsed, signal),
      )),
    );
  }
  const unique = [...new Map(results.map((result) => [resultKey(result), result])).values()];
  if (options.json) context.terminal.out(JSON.stringify(unique, null, 2));
  else for (const result of unique) print(context.terminal, result);
  const failed = unique.filter((result) => result.status === 'failed').length;
  const warnings = unique.filter((result) => result.status === 'warning').length;
  if (!options.json) {
    context.terminal.out(
      `${unique.length} checks, ${failed} failed, ${warnings} warning${warnings === 1 ? '' : 's'}`,
    );
  }
  context.setExitCode(failed > 0 ? 1 : 0);
}

/** A configuration that can't be read is a finding too, one line a problem. */
async function checksOf<T>(
  daemon: string,
  parse: () => T,
  check: (config: T) => Promise<CheckResult[]>,
): Promise<CheckResult[]> {
  const id = `config/${daemon}`;
  try {
    const config = parse();
    return [
      { id, status: 'ok', message: `the configuration of ${daemon} is valid` },
      ...(await check(config)),
    ];
  } catch (error) {
    const problems = configProblems(error);
    if (problems) {
      return problems.map(({ variable, message, hint }) => ({
        id: `config/${variable}`,
        status: 'failed',
        message: `${variable} ${message}`,
        hint,
      }));
    }
    const { message, hint } = errorReport(error);
    return [{ id, status: 'failed', message, hint }];
  }
}

/** Both daemons look at some of the same things; what they agree on is told once. */
function resultKey({ id, status, message }: CheckResult): string {
  return JSON.stringify([id, status, message]);
}

const marks = {
  ok: ['green', 'ok     '],
  warning: ['yellow', 'warning'],
  failed: ['red', 'FAILED '],
} as const;

function print(terminal: Terminal, { status, id, message, hint }: CheckResult): void {
  const [name, mark] = marks[status];
  terminal.out(`${colour(terminal, name, mark)}  ${id.padEnd(28)}  ${printable(message)}`);
  if (hint && status !== 'ok') {
    for (const line of printable(hint, '\n').split('\n')) terminal.out(`         → ${line}`);
  }
}
