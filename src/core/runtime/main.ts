import { EXIT_CONFIG, explainConfigError } from '../config/problems.ts';
import { errorReport, isAbort } from './errors.ts';
import { hidden } from './hidden.ts';

/** sysexits.h EX_USAGE. */
export const EXIT_USAGE = 64;
/** sysexits.h EX_SOFTWARE. */
const EXIT_BUG = 70;

/**
 * The frame of every program: SIGTERM and SIGINT fire the signal (a second one ends the process at
 * once), a configuration problem is explained and exits 78, an error exits 1, and what nobody caught
 * is never silent.
 */
export async function runMain(main: (signal: AbortSignal) => Promise<number>): Promise<void> {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted && name === 'SIGINT') process.exit(130);
      stop.abort();
    });
  }
  for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
    process.on(event, (reason: unknown) => {
      const text = String(reason instanceof Error ? reason.stack : reason);
      process.stderr.write(`bug: ${hidden(text)}\n`);
      process.exit(EXIT_BUG);
    });
  }
  // A reader that goes away (`dropback list | head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
  });
  try {
    process.exitCode = await main(stop.signal);
  } catch (error) {
    process.exitCode = explain(error, stop.signal);
  }
}

function explain(error: unknown, signal: AbortSignal): number {
  const problems = explainConfigError(error);
  if (problems) {
    process.stderr.write(`${problems}\n`);
    return EXIT_CONFIG;
  }
  if (isAbort(error) && signal.aborted) return 130;
  const { code, message, hint } = errorReport(error);
  process.stderr.write(`error ${code}: ${message}\n  hint: ${hint}\n`);
  if (code.startsWith('internal/') && error instanceof Error) {
    process.stderr.write(`${hidden(String(error.stack))}\n`);
  }
  return code === 'cli/usage' ? EXIT_USAGE : 1;
}
