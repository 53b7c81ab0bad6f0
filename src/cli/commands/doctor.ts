import type { BackupConfig, RestoreConfig } from '../../core/config/config.ts';
import { configProblems } from '../../core/config/problems.ts';
import type { CheckResult } from '../../core/engines/engine.ts';
import { errorReport } from '../../core/runtime/errors.ts';
import type { CliContext } from '../context.ts';
import { chosenDaemon, type DaemonChoice } from '../own-container.ts';
import { colour, printable, type Terminal } from '../terminal.ts';

export interface DoctorOptions {
  readonly json?: boolean;
  /** Only what this daemon needs; default: the one whose container this is, else both. */
  readonly for?: DaemonChoice;
}

/** One line a check; exits with 1 when something would fail tonight. */
export async function doctor(options: DoctorOptions, context: CliContext): Promise<void> {
  const { config, operations, signal, terminal } = context;
  const only = chosenDaemon(options, config);
  const results: CheckResult[] = [];
  if (only !== 'db-restore') {
    const check = (parsed: BackupConfig) => operations.checkBackup(parsed, signal);
    results.push(...(await checksOf('db-backup', config.backup, check)));
  }
  if (only !== 'db-backup') {
    const check = (parsed: RestoreConfig) => operations.checkRestore(parsed, signal);
    results.push(...(await checksOf('db-restore', config.restore, check)));
  }
  const unique = distinct(results);
  if (options.json) terminal.out(JSON.stringify(unique, null, 2));
  else {
    for (const result of unique) print(terminal, result);
    terminal.out(summary(unique, only));
  }
  context.setExitCode(count(unique, 'failed') > 0 ? 1 : 0);
}

function summary(results: readonly CheckResult[], only: string | undefined): string {
  const warnings = count(results, 'warning');
  const whose = only ? `, of what ${only} needs` : '';
  return `${results.length} check${results.length === 1 ? '' : 's'}${whose}: ${count(results, 'failed')} failed, ${warnings} warning${warnings === 1 ? '' : 's'}`;
}

function count(results: readonly CheckResult[], status: CheckResult['status']): number {
  return results.filter((result) => result.status === status).length;
}

/** A configuration that can't be read is a finding too, one line a problem. */
async function checksOf<T extends { readonly warnings: readonly string[] }>(
  daemon: string,
  parse: () => T,
  check: (config: T) => Promise<CheckResult[]>,
): Promise<CheckResult[]> {
  const id = `config/${daemon}`;
  try {
    const config = parse();
    return [
      { id, status: 'ok', message: `the configuration of ${daemon} is valid` },
      ...config.warnings.map(configWarning),
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

function configWarning(message: string): CheckResult {
  return { id: 'config/warning', status: 'warning', message };
}

/**
 * Both daemons look at some of the same things; what they agree on is told once. So is a server that
 * lets nobody in, whichever of its databases and for whatever check it was asked.
 */
export function distinct(results: readonly CheckResult[]): CheckResult[] {
  const first = new Map<string, CheckResult>();
  for (const result of results) {
    const key = resultKey(result);
    if (!first.has(key)) first.set(key, result);
  }
  return [...first.values()];
}

/** A server as messages name it, with a database of it. */
const DATABASE = /(postgresql:\/\/[^\s/]+)\/[^\s:]+/;

function resultKey({ id, status, message }: CheckResult): string {
  const ofServer = message.replace(DATABASE, '$1');
  if (status === 'failed' && ofServer !== message) return JSON.stringify([status, ofServer]);
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
