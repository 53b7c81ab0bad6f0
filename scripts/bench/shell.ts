import { spawn } from 'node:child_process';

export interface ShellOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Seconds, after which it is ended and the result is undefined. */
  readonly limit?: number;
}

/**
 * Runs a script as people write them, in bash with `set -eo pipefail`; resolves with the seconds
 * that it took, undefined where it was ended at its limit. Throws what it printed where it failed.
 */
export async function timeShell(
  script: string,
  { environment = {}, cwd = '/', limit }: ShellOptions = {},
): Promise<number | undefined> {
  const since = performance.now();
  const child = spawn('bash', ['-c', `set -eo pipefail\n${script}`], {
    cwd,
    env: { PATH: process.env['PATH'], HOME: cwd, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  });
  const end = () => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  process.once('exit', end);
  let isOver = false;
  const timer = limit
    ? setTimeout(() => {
        isOver = true;
        end();
      }, limit * 1000)
    : undefined;
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (isOver) return undefined;
    if (code !== 0) throw new Error(`this ended with ${code}:\n${script}\n${said}`);
    return (performance.now() - since) / 1000;
  } finally {
    clearTimeout(timer);
    process.removeListener('exit', end);
  }
}

/** As `timeShell`, for what has no limit of time. */
export async function runShell(script: string, options: ShellOptions = {}): Promise<number> {
  const seconds = await timeShell(script, options);
  if (seconds === undefined) throw new Error('a script without a limit was ended at it');
  return seconds;
}

/** Words for a shell. */
export function quote(...words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
}
