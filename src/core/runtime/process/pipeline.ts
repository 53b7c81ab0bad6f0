import type { Readable, Writable } from 'node:stream';
import { abortedError, DropbackError, throwIfAborted } from '../errors.ts';
import type { Program } from './program.ts';
import { type ProgramOutcome, Runner } from './runner.ts';

export interface PipelineOptions {
  readonly signal: AbortSignal;
  /** Descriptor that becomes the first program's standard input. Default: none (/dev/null). */
  readonly stdinFd?: number;
  /** Writes the first program's standard input; must end or destroy it. Excludes `stdinFd`. */
  readonly feed?: (stdin: Writable) => Promise<void>;
  /** Descriptor that becomes the last program's standard output. Default: none (/dev/null). */
  readonly stdoutFd?: number;
  /** Reads the last program's standard output to its end. Excludes `stdoutFd`. */
  readonly consume?: (stdout: Readable) => Promise<void>;
  /** Told each line of standard error as it comes. */
  readonly onStderr?: (program: string, line: string) => void;
  /** Milliseconds after which every program is ended and the error is `tool/timed-out`. */
  readonly timeoutMs?: number;
  /** Milliseconds between SIGTERM and SIGKILL. Default: 3000. */
  readonly killGraceMs?: number;
}

/** For so long a program that has closed its input may take to exit. */
const READER_EXIT_MS = 2000;

/**
 * Runs programs joined by pipes, `a | b | c`, without a byte passing through this process (save
 * what `feed` and `consume` ask for).
 *
 * Contract:
 * - Resolves only when every program has exited with a success code and `feed` and `consume` have
 *   settled. The end of a stream is never taken for success.
 * - Each program leads its own process group; abort, time-out and the failure of one end all of
 *   them: SIGTERM to the group, SIGKILL after the grace. It never settles before all have exited.
 * - Errors: `tool/failed` (facts: program, exitCode, exitSignal, stderr), `tool/timed-out`,
 *   `tool/not-started`, the signal's own reason or `run/aborted`, or what `feed` or `consume`
 *   threw while the programs themselves did well.
 */
export async function runPipeline(
  programs: readonly Program[],
  options: PipelineOptions,
): Promise<ProgramOutcome[]> {
  throwIfAborted(options.signal);
  const runners = startAll(programs, options);
  const endAll = () => {
    for (const runner of runners) runner.end(options.killGraceMs ?? 3000);
  };
  let verdict: DropbackError | undefined;
  const decide = (error: DropbackError) => {
    verdict ??= error;
    endAll();
  };
  const onAbort = () => decide(abortedError(options.signal));
  options.signal.addEventListener('abort', onAbort, { once: true });
  const { timeoutMs } = options;
  const timer = timeoutMs
    ? setTimeout(() => decide(timedOut(programs, timeoutMs)), timeoutMs)
    : undefined;

  let late: NodeJS.Timeout | undefined;
  let streamError: unknown;
  const streams = streamWork(runners, options).map((work) =>
    work.catch((error: unknown) => {
      streamError ??= error;
      endAll();
    }),
  );
  try {
    const exits = runners.map(async (runner) => {
      const outcome = await runner.exited;
      // Its reader is the cause, and may be about to say why.
      if (runner.failed && runner.diedOfPipe) late ??= setTimeout(endAll, READER_EXIT_MS);
      else if (runner.failed) endAll();
      return outcome;
    });
    const outcomes = await Promise.all(exits);
    await Promise.all(streams);
    const failure = verdict ?? causeOf(runners, streamError);
    if (failure !== undefined) throw failure;
    return outcomes;
  } finally {
    clearTimeout(timer);
    clearTimeout(late);
    options.signal.removeEventListener('abort', onAbort);
  }
}

/** Runs one program and returns what it printed, bounded: for short answers such as `--version`. */
export async function capture(
  program: Program,
  options: Pick<PipelineOptions, 'signal' | 'timeoutMs' | 'feed' | 'onStderr'>,
  mostBytes = 16 * 1024 * 1024,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  await runPipeline([program], {
    ...options,
    consume: async (stdout) => {
      for await (const chunk of stdout as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > mostBytes) throw tooMuchOutput(program.name, mostBytes);
        chunks.push(chunk);
      }
    },
  });
  return Buffer.concat(chunks).toString('utf8');
}

function startAll(programs: readonly Program[], options: PipelineOptions): Runner[] {
  const runners: Runner[] = [];
  // One synchronous loop: each pipe must be handed on before the event loop turns, or this process
  // would begin to read from it.
  for (const [index, program] of programs.entries()) {
    const upstream = runners.at(-1)?.child.stdout;
    const first = options.feed ? 'pipe' : (options.stdinFd ?? 'ignore');
    const last = options.consume ? 'pipe' : (options.stdoutFd ?? 'ignore');
    const isLast = index === programs.length - 1;
    const onStderr = (line: string) => options.onStderr?.(program.name, line);
    runners.push(
      new Runner(
        program,
        index === 0 ? first : (upstream ?? 'ignore'),
        isLast ? last : 'pipe',
        onStderr,
      ),
    );
    upstream?.destroy();
  }
  return runners;
}

function streamWork(runners: readonly Runner[], options: PipelineOptions): Promise<void>[] {
  const work: Promise<void>[] = [];
  const stdin = runners[0]?.child.stdin;
  const stdout = runners.at(-1)?.child.stdout;
  if (options.feed && stdin) work.push(options.feed(stdin));
  if (options.consume && stdout) work.push(options.consume(stdout));
  return work;
}

/**
 * The program that failed first of its own accord is the cause: those upstream of it die of a
 * closed pipe a moment later, those downstream of an early end, and our own streams of both.
 */
function causeOf(runners: readonly Runner[], streamError: unknown): unknown {
  const failed = runners.filter((runner) => runner.failed);
  const suspects = failed.filter((runner) => runner.failedOfItsOwn);
  if (suspects.length === 0 && streamError !== undefined) return streamError;
  const inOrder = (suspects.length > 0 ? suspects : failed).toSorted(
    (a, b) => a.exitedAt - b.exitedAt,
  );
  return inOrder[0]?.failure() ?? streamError;
}

function timedOut(programs: readonly Program[], ms: number): DropbackError {
  const names = programs.map((program) => program.name).join(' | ');
  return new DropbackError('tool/timed-out', `${names} took longer than ${ms / 1000} s`, {
    hint: 'raise the time-out if the database has grown; else look for locks or a slow disk.',
    facts: { programs: names, timeoutMs: ms },
  });
}

function tooMuchOutput(program: string, mostBytes: number): DropbackError {
  return new DropbackError('tool/too-much-output', `${program} printed more than expected`, {
    hint: 'check that the installed program is what its name says.',
    facts: { program, mostBytes },
  });
}
