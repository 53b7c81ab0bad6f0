/** Running programs: to the end with a deadline, or detached so that they outlive this one. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/**
 * Runs a program to its end.
 * @param {string} command
 * @param {string[]} args
 * @param {{timeoutMs?: number, env?: object, cwd?: string, input?: string, check?: boolean}} [options]
 *   `check` (default true): a non-zero exit throws, with the last lines of what was printed.
 * @returns {Promise<{code: number | null, stdout: string, stderr: string}>}
 */
export function run(command, args, { timeoutMs = 60_000, env, cwd, input, check = true } = {}) {
  return new Promise((resolve, reject) => {
    // Own process group: at the deadline the helpers of the program go too.
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...env },
      detached: true,
    });
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    const timer = setTimeout(() => {
      timedOut = true;
      process.kill(-child.pid, 'SIGKILL');
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`${command} cannot be started: ${error.message}`));
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (timedOut)
        return reject(
          new Error(`${command} ${args[0] ?? ''} took longer than ${timeoutMs / 1000} s`),
        );
      if (check && code !== 0) {
        const tail = `${stdout}\n${stderr}`.trim().split('\n').slice(-6).join('\n  ');
        return reject(new Error(`${command} ${args[0] ?? ''} exited with ${code}:\n  ${tail}`));
      }
      resolve({ code, stdout, stderr });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** The first line a program prints, or undefined when it cannot be run. */
export async function firstLine(command, args) {
  try {
    const { stdout } = await run(command, args, { timeoutMs: 10_000 });
    return stdout.trim().split('\n')[0];
  } catch {
    return undefined;
  }
}

/** Starts a server in its own session, output appended to `logFile`; it outlives this process. */
export function startDetached(command, args, { logFile, env, cwd }) {
  const log = openSync(logFile, 'a', 0o644);
  try {
    const child = spawn(command, args, {
      detached: true,
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log],
    });
    child.on('error', () => {});
    child.unref();
    if (!child.pid) throw new Error(`${command} cannot be started`);
    return { pid: child.pid, started: startTime(child.pid) };
  } finally {
    closeSync(log);
  }
}

/** Start time of a process in clock ticks, so that a reused pid is not taken for ours; undefined when it is gone. */
export function startTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces: count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Whether a recorded `{pid, started}` is still that very process. */
export function isAlive({ pid, started } = {}) {
  if (!pid) return false;
  if (process.platform === 'linux')
    return startTime(pid) !== undefined && startTime(pid) === started;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Ends a recorded process: SIGTERM, after the grace SIGKILL. Does nothing when it is gone. */
export async function stop(recorded, graceMs = 20_000) {
  if (!isAlive(recorded)) return false;
  process.kill(recorded.pid, 'SIGTERM');
  if (!(await until(() => !isAlive(recorded), graceMs))) process.kill(recorded.pid, 'SIGKILL');
  return true;
}

/** Polls until `test` is true; false when `timeoutMs` went by. */
export async function until(test, timeoutMs, everyMs = 100) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    if (await test()) return true;
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** A loopback port that is free right now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
