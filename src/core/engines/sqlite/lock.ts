import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DropbackError, throwIfAborted } from '../../runtime/errors.ts';
import { runPipeline } from '../../runtime/process/pipeline.ts';
import { toldError } from '../../runtime/process/told-error.ts';
import type { DatabaseLock, LockRequest } from '../engine.ts';
import type { Location } from './owner.ts';
import type { Message } from './protocol.ts';
import type { SqliteTool } from './tool-client.ts';

/** One a database: several may lie in one folder. */
export function lockFile(base: string): string {
  return `.${base}.dropback-lock.db`;
}

/**
 * The lock is an exclusive SQLite transaction on a file beside the database, held by a tool process
 * until its standard input ends: with the daemon it dies too.
 */
export async function takeLock(
  tool: SqliteTool,
  location: Location,
  request: LockRequest,
  signal: AbortSignal,
): Promise<DatabaseLock> {
  throwIfAborted(signal);
  const held = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const lost = new AbortController();
  // The caller's signal ends the waiting; once held, only the release ends it.
  const ended = new AbortController();
  const onAbort = () => ended.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let told: unknown;
  const listen = (message: Message<'lock'>) => {
    if (!('event' in message)) told = message;
    else if (message.event === 'held') held.resolve();
    else request.onWait?.(message.holder === 'unknown' ? undefined : message.holder);
  };
  const { purpose, waitMs } = request;
  const question = { path: join(location.folder, lockFile(location.base)), purpose, waitMs };
  const run = runPipeline([tool.program('lock', { runAs: location.runAs })], {
    signal: ended.signal,
    feed: async (stdin) => {
      stdin.write(`${JSON.stringify(question)}\n`);
      await released.promise;
      stdin.end();
    },
    consume: async (stdout) => {
      for await (const line of createInterface({ input: stdout })) listen(JSON.parse(line));
      released.resolve();
    },
  });
  const settled = run.then(
    () => held.reject(toldError(told, 'sqlite tool')),
    (error: unknown) => held.reject(error),
  );
  void settled.then(() => lost.abort(lostError()));
  try {
    await held.promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  return {
    lost: lost.signal,
    async [Symbol.asyncDispose]() {
      released.resolve();
      await settled;
    },
  };
}

function lostError(): DropbackError {
  return new DropbackError('lock/lost', 'the lock on the database was lost', {
    hint: 'its holder process was ended from outside; the run is given up and tried again later.',
    retryable: true,
  });
}
