import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { DropbackError } from '../runtime/errors.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import { runPipeline } from '../runtime/process/pipeline.ts';
import { StderrTail } from '../runtime/process/stderr-tail.ts';
import { Redactor } from '../runtime/redact.ts';

/** The variable that holds the command. */
export type HookName =
  | 'BACKUP_PRE_HOOK'
  | 'BACKUP_POST_HOOK'
  | 'RESTORE_PRE_HOOK'
  | 'RESTORE_POST_HOOK';

/** What a hook is told, beside PATH, HOME and TZ: docs/alerts-and-hooks.md. Never a secret. */
export type HookEnvironment = Readonly<Record<`DROPBACK_${string}`, string>>;

/** Lines of a hook's output that enter the log; of what follows only the number is told. */
const MOST_LINES = 100;

/**
 * Runs a hook as programs are run: as the daemon's user, without capabilities, in `/`, in a process
 * group of its own that ends with the deadline. Its output goes into the log, bounded.
 *
 * Errors: `hook/failed` (facts: hook, exitCode, exitSignal, output), `hook/timed-out`, `run/aborted`
 * or the signal's own reason.
 */
export async function runHook(
  name: HookName,
  command: string,
  options: {
    readonly environment: HookEnvironment;
    readonly timeoutMs: number;
    readonly clock: Clock;
    readonly log: Logger;
    /** Neither told to the hook, nor repeated where it prints them. */
    readonly secrets: readonly string[];
  },
  signal: AbortSignal,
): Promise<void> {
  const { environment, timeoutMs, clock, log } = options;
  const redactor = Redactor.of(options.secrets);
  const output = new HookOutput(name, log, redactor);
  const since = clock.monotonic();
  log.info({ hook: name }, 'hook started');
  try {
    const program = {
      name,
      file: requireProgram('sh', 'dash'),
      args: ['-c', command],
      environment: withoutSecrets(environment, redactor),
      forks: true,
    };
    await runPipeline([program], {
      signal,
      timeoutMs,
      onStderr: (_program, line) => output.line(line),
      consume: async (stdout) => {
        const lines = new StderrTail((line) => output.line(line));
        for await (const chunk of stdout as AsyncIterable<Buffer>) lines.push(chunk);
        lines.end();
      },
    });
  } catch (error) {
    // Ended for a reason that isn't its own: an abort, a lost lock, the run's deadline.
    if (!(error instanceof DropbackError && error.code.startsWith('tool/'))) throw error;
    throw hookError(name, timeoutMs, error, output.last, redactor);
  } finally {
    output.end();
  }
  log.info({ hook: name, ms: Math.round(clock.monotonic() - since) }, 'hook done');
}

/** An error's message comes from servers and programs: they may quote what they were given. */
function withoutSecrets(environment: HookEnvironment, redactor: Redactor): HookEnvironment {
  const { DROPBACK_ERROR: error } = environment;
  return error === undefined
    ? environment
    : { ...environment, DROPBACK_ERROR: redactor.text(error) };
}

/** What a hook prints, line by line. */
class HookOutput {
  readonly #hook: HookName;
  readonly #log: Logger;
  readonly #redactor: Redactor;
  #lines = 0;
  /** Of both streams, the latest. */
  readonly last: string[] = [];

  constructor(hook: HookName, log: Logger, redactor: Redactor) {
    this.#hook = hook;
    this.#log = log;
    this.#redactor = redactor;
  }

  line(printed: string): void {
    const text = this.#redactor.text(printed);
    this.#lines += 1;
    this.last.push(text);
    if (this.last.length > 20) this.last.shift();
    if (this.#lines <= MOST_LINES) this.#log.info({ hook: this.#hook }, text);
  }

  end(): void {
    const left = this.#lines - MOST_LINES;
    if (left > 0) this.#log.info({ hook: this.#hook }, `${left} further lines were left out`);
  }
}

function hookError(
  name: HookName,
  timeoutMs: number,
  error: DropbackError,
  output: readonly string[],
  redactor: Redactor,
): DropbackError {
  const { code, facts } = error;
  const message = redactor.text(error.message);
  if (code === 'tool/timed-out') {
    const hint = `let it end sooner, or raise ${name.split('_')[0]}_HOOK_TIMEOUT_SECONDS.`;
    const text = `${name} took longer than ${timeoutMs / 1000} s and was ended`;
    return new DropbackError('hook/timed-out', text, { hint, facts: { hook: name, output } });
  }
  const { exitCode, exitSignal } = { exitCode: null, exitSignal: null, ...facts };
  const last = output.at(-1);
  const why = last === undefined || message.includes(last) ? '' : `: ${last}`;
  return new DropbackError('hook/failed', `${message}${why}`, {
    hint: `what ${name} printed is in the log; it must exit with 0.`,
    facts: { hook: name, exitCode, exitSignal, output },
    cause: error,
  });
}
