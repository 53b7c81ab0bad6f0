import { configProblems } from '../core/config/problems.ts';
import { exitCodeOf } from '../core/requests/protocol.ts';
import { errorReport, isAbort } from '../core/runtime/errors.ts';
import type { CliContext } from './context.ts';
import { printError, type Terminal } from './terminal.ts';

export interface DatabaseOption {
  /** Of DATABASES_FILE. */
  readonly database?: string;
  readonly json?: boolean;
}

/** For the one that was chosen; without a choice the configuration asks for one where it must. */
export function forChosen({ database }: DatabaseOption, context: CliContext): CliContext {
  if (database === undefined) return context;
  return { ...context, config: context.config.of(database) };
}

/** What brings the previous database back, as it has to be typed. */
export function undoCommand(config: { readonly name: string; readonly isOneOfSeveral?: true }) {
  return config.isOneOfSeveral ? `dropback undo --database ${config.name}` : 'dropback undo';
}

/** For the one that was chosen, else for each of DATABASES_FILE, else for the only one. */
export function forEach(options: DatabaseOption, context: CliContext): CliContext[] {
  const names = options.database === undefined ? context.config.names() : undefined;
  if (!names) return [forChosen(options, context)];
  return names.map((database) => forChosen({ database }, context));
}

/**
 * Runs a command for each database: below its name, or with `--json` as one object by name. What
 * fails for one is told, and the others still have their turn. 1 is the worst of exit codes.
 */
export async function runForEach(
  options: DatabaseOption,
  context: CliContext,
  run: (context: CliContext) => Promise<void>,
): Promise<void> {
  const { terminal, config, signal } = context;
  const names = options.database === undefined ? config.names() : undefined;
  if (!names) return await run(forChosen(options, context));
  const documents: Record<string, unknown> = {};
  const codes: number[] = [];
  for (const name of names) {
    const lines: string[] = [];
    const own: Terminal = options.json
      ? { ...terminal, out: (line) => lines.push(line) }
      : terminal;
    if (!options.json) terminal.out(`${name}:`);
    const of = { ...context, config: config.of(name), terminal: own };
    try {
      await run({ ...of, setExitCode: (code) => codes.push(code) });
      documents[name] = lines.length > 0 ? JSON.parse(lines.join('\n')) : null;
    } catch (error) {
      if (configProblems(error) || (isAbort(error) && signal.aborted)) throw error;
      const report = errorReport(error);
      documents[name] = { error: report };
      codes.push(exitCodeOf(report.code));
      printError(terminal, report);
    }
  }
  if (options.json) terminal.out(JSON.stringify(documents, null, 2));
  context.setExitCode(codes.includes(1) ? 1 : (codes.find((code) => code !== 0) ?? 0));
}
