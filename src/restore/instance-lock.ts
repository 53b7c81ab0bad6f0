import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Logger } from '../core/observability/log.ts';
import type { Clock } from '../core/runtime/clock.ts';
import { DropbackError, throwIfAborted, toDropbackError } from '../core/runtime/errors.ts';
import { findProgram } from '../core/runtime/process/find-program.ts';
import { runPipeline } from '../core/runtime/process/pipeline.ts';

/** Held until disposed, or until this process dies. */
export interface InstanceLock extends AsyncDisposable {
  /** Fires when the lock is gone although nobody released it. */
  readonly lost: AbortSignal;
}

/** `flock -E`: distinguishes a lock that is taken from any other failure. */
const TAKEN = 75;

/**
 * One daemon a folder: flock(2) on a file in it, which the kernel releases with the process. A
 * second daemon waits, and says so. Where there is no flock program, a socket that is bound on this
 * machine does the same for daemons of the same machine.
 */
export async function lockInstance(
  folder: string,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<InstanceLock> {
  const flock = findProgram('flock');
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal);
    const lock = flock
      ? await tryFlock(flock, join(folder, '.db-restore.lock'), signal)
      : await trySocket(folder);
    if (lock) return lock;
    if (attempt === 1) log.warn({ folder }, 'another db-restore works on this folder: waiting');
    await clock.sleep(1000, signal);
  }
}

/** flock holds the lock as long as `cat`, which it becomes, has an open standard input. */
async function tryFlock(
  file: string,
  path: string,
  signal: AbortSignal,
): Promise<InstanceLock | undefined> {
  await (await open(path, 'a', 0o600)).close();
  const acquired = Promise.withResolvers<boolean>();
  const release = Promise.withResolvers<void>();
  const lost = new AbortController();
  const args = ['--exclusive', '--nonblock', '--no-fork', '-E', String(TAKEN), path, 'cat'];
  // Not the daemon's signal: the lock outlives the request to end, until everything is in order.
  const running = runPipeline([{ name: 'flock', file, args }], {
    signal: new AbortController().signal,
    feed: async (stdin) => {
      stdin.write('held\n');
      // Where flock ends at once, nobody releases.
      const closed = new Promise<void>((resolve) => stdin.once('close', () => resolve()));
      await Promise.race([release.promise, closed]);
      stdin.end();
    },
    consume: async (stdout) => {
      for await (const _chunk of stdout) acquired.resolve(true);
    },
  });
  running.then(
    () => acquired.resolve(false),
    (error: unknown) => {
      const isTaken = toDropbackError(error).facts['exitCode'] === TAKEN;
      if (isTaken) acquired.resolve(false);
      else acquired.reject(error);
      lost.abort(lockLost(error));
    },
  );
  try {
    if (!(await acquired.promise)) return undefined;
  } finally {
    if (signal.aborted) release.resolve();
  }
  return {
    lost: lost.signal,
    async [Symbol.asyncDispose]() {
      release.resolve();
      await running.catch(() => {});
    },
  };
}

async function trySocket(folder: string): Promise<InstanceLock | undefined> {
  const digest = createHash('sha256').update(folder).digest();
  const isLinux = process.platform === 'linux';
  // Abstract sockets vanish with the process; elsewhere a port of the loopback device does.
  const name = `\0dropback-restore-${digest.toString('hex').slice(0, 32)}`;
  const port = 49152 + (digest.readUInt16BE(0) % 16000);
  const server = createServer((socket) => socket.destroy());
  try {
    if (isLinux) server.listen(name);
    else server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  }
  server.unref();
  const closed = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return { lost: new AbortController().signal, [Symbol.asyncDispose]: closed };
}

function lockLost(cause: unknown): DropbackError {
  return new DropbackError('lock/lost', 'the lock on the drop folder was lost', {
    hint: 'another db-restore may take over; this one ends.',
    cause,
  });
}
