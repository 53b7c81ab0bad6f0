import { type ChildProcess, spawn } from 'node:child_process';
import { minimalEnvironment } from '../../config/host.ts';
import { findProgram } from './find-program.ts';

/** Its input ends when whoever started it is gone: nothing is ever written to it. */
const SCRIPT = 'read -r _; kill -9 "-$1"';

/**
 * Ends a process group when this process dies, however it does. The kernel ends the program that we
 * started (`launchLine`), but not what that has started: the workers of a pg_dump go on to the end of
 * their tables, and hold its snapshot for as long.
 */
export class GroupGuard {
  readonly #child: ChildProcess | undefined;

  /** `group`: of a program that runs as the same user. */
  constructor(group: number) {
    const sh = findProgram('sh');
    if (!sh) return;
    const setpriv = findProgram('setpriv');
    const less = setpriv ? [setpriv, '--inh-caps=-all', '--ambient-caps=-all', '--'] : [];
    const [file = sh, ...args] = [...less, sh, '-c', SCRIPT, 'group-guard', String(group)];
    this.#child = spawn(file, args, {
      env: minimalEnvironment(),
      cwd: '/',
      // What is sent to our own group is not meant for it.
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // Without it the program runs as well, only not as safely.
    this.#child.on('error', () => {});
    this.#child.stdin?.on('error', () => {});
  }

  /** The program has ended. */
  release(): void {
    this.#child?.kill('SIGKILL');
  }
}
