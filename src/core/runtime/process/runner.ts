import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { DropbackError } from '../errors.ts';
import { GroupGuard } from './group-guard.ts';
import { launchLine, type Program } from './program.ts';
import { StderrTail } from './stderr-tail.ts';

export interface ProgramOutcome {
  readonly name: string;
  readonly exitCode: number | null;
  readonly exitSignal: NodeJS.Signals | null;
  /** The last lines of standard error. */
  readonly stderr: readonly string[];
}

export type StdinSource = 'pipe' | 'ignore' | number | Readable;
export type StdoutSink = 'pipe' | 'ignore' | number;

const ORPHAN_GRACE_MS = 3000;
/** From SIGKILL to giving up on pipes that are still open; looked at again as often. */
const LET_GO_MS = 500;

/** One started program, leader of its own process group. */
export class Runner {
  readonly child: ChildProcess;
  /** Settles when the program has exited and its pipes are closed; never rejects. */
  readonly exited: Promise<ProgramOutcome>;
  readonly #program: Program;
  #outcome: ProgramOutcome | undefined;
  #exitedAt = Number.POSITIVE_INFINITY;
  #startError: Error | undefined;
  #endedByUs = false;
  #killTimer: NodeJS.Timeout | undefined;
  #letGoTimer: NodeJS.Timeout | undefined;

  constructor(
    program: Program,
    stdin: StdinSource,
    stdout: StdoutSink,
    onStderr: (line: string) => void,
  ) {
    this.#program = program;
    const line = launchLine(program);
    this.child = spawn(line.file, line.args, {
      env: line.environment,
      cwd: program.cwd ?? '/',
      detached: true,
      stdio: [stdin, stdout, 'pipe', ...(program.files ?? [])],
    });
    const { pid } = this.child;
    const guard = program.forks && pid !== undefined ? new GroupGuard(pid) : undefined;
    const tail = new StderrTail(onStderr, program.isProgress);
    this.child.stderr?.on('data', (chunk: Buffer) => tail.push(chunk));
    // A pipe that breaks is told by the exit status; unheard, the event would end the daemon.
    for (const stream of [this.child.stdin, this.child.stdout, this.child.stderr]) {
      stream?.on('error', () => {});
    }
    this.exited = new Promise((resolve) => {
      const settle = (exitCode: number | null, exitSignal: NodeJS.Signals | null) => {
        if (this.#outcome) return;
        clearTimeout(this.#killTimer);
        clearTimeout(this.#letGoTimer);
        guard?.release();
        tail.end();
        this.#exitedAt = performance.now();
        this.#outcome = { name: program.name, exitCode, exitSignal, stderr: tail.lines };
        resolve(this.#outcome);
      };
      this.child.once('error', (error) => {
        if (this.child.pid !== undefined) return;
        this.#startError = error;
        settle(null, null);
      });
      this.child.once('exit', (exitCode) => {
        if (exitCode !== 0) this.#endOrphans();
      });
      this.child.once('close', settle);
    });
  }

  get exitedAt(): number {
    return this.#exitedAt;
  }

  get failed(): boolean {
    if (!this.#outcome) return false;
    const { exitCode } = this.#outcome;
    return exitCode === null || !(this.#program.successCodes ?? [0]).includes(exitCode);
  }

  /** Failed, though neither we nor a closed pipe ended it: a possible cause of the whole failure. */
  get failedOfItsOwn(): boolean {
    return this.failed && !this.#endedByUs && !this.diedOfPipe;
  }

  /** Programs that ignore SIGPIPE say it in words; exits a moment apart can't be told apart. */
  get diedOfPipe(): boolean {
    if (this.#outcome?.exitSignal === 'SIGPIPE') return true;
    // The last two: tar adds that it can't go on; of a write that was cut it tells only that.
    const said = this.#outcome?.stderr.slice(-2) ?? [];
    return said.some((line) =>
      /broken pipe|connection reset by peer|tar: -: wrote only/i.test(line),
    );
  }

  /** SIGTERM to the group, SIGKILL after the grace. */
  end(graceMs: number): void {
    if (this.#endedByUs || this.#outcome) return;
    this.#endedByUs = true;
    this.#endGroup(graceMs);
  }

  /**
   * What a program that failed has left running holds its pipes open, and is of no use any more:
   * the workers of a pg_dump that was killed go on to the end of their tables.
   */
  #endOrphans(): void {
    this.#endGroup(ORPHAN_GRACE_MS);
  }

  #endGroup(graceMs: number): void {
    this.#signalGroup('SIGTERM');
    this.#killTimer ??= setTimeout(() => {
      this.#signalGroup('SIGKILL');
      this.#letGoTimer = setTimeout(() => this.#letGo(), LET_GO_MS);
    }, graceMs);
  }

  /** Whoever has left the group may hold the pipes for ever: what it prints is of no use any more. */
  #letGo(): void {
    const { exitCode, signalCode, stdin, stdout, stderr } = this.child;
    if (exitCode !== null || signalCode !== null) {
      for (const stream of [stdin, stdout, stderr]) stream?.destroy();
    } else this.#letGoTimer = setTimeout(() => this.#letGo(), LET_GO_MS);
  }

  failure(): DropbackError {
    const name = this.#program.name;
    if (this.#startError) {
      return new DropbackError('tool/not-started', `${name} could not be started`, {
        hint: 'check that the program is installed and that the daemon may execute it.',
        facts: { program: name },
        cause: this.#startError,
      });
    }
    const { exitCode, exitSignal, stderr } = this.#outcome ?? {
      exitCode: null,
      exitSignal: null,
      stderr: [],
    };
    const how = exitSignal ? `was ended by ${exitSignal}` : `exited with code ${exitCode}`;
    const said = stderr.at(-1);
    // Its reader went away first: whoever knows why that was has the better reason.
    const closed = this.diedOfPipe ? { closedPipe: true } : {};
    return new DropbackError('tool/failed', said ? `${name} ${how}: ${said}` : `${name} ${how}`, {
      hint: `the last lines that ${name} printed are in the report and in the log.`,
      facts: { program: name, exitCode, exitSignal, stderr: stderr.slice(-20), ...closed },
    });
  }

  #signalGroup(signal: NodeJS.Signals): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') this.child.kill(signal);
    }
  }
}
