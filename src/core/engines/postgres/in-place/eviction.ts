import { isAbort } from '../../../runtime/errors.ts';
import { applicationName } from '../restore/names.ts';
import type { Server } from '../restore/server.ts';
import { terminateOthers } from '../restore/terminate.ts';

const EVERY_MS = 200;

/**
 * Ends the sessions of others in the live database while `work` waits for its locks. Returns what
 * may not be ended, for the message should the locks not be had.
 */
export async function evicting<T>(
  server: Server,
  restore: { readonly id: string; readonly liveOid: string },
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const either = AbortSignal.any([done.signal, signal]);
  const evicted = evict(server, restore, either, signal);
  try {
    return await work();
  } finally {
    done.abort();
    await evicted;
  }
}

async function evict(
  server: Server,
  { id, liveOid }: { readonly id: string; readonly liveOid: string },
  either: AbortSignal,
  signal: AbortSignal,
): Promise<void> {
  try {
    await using session = await server.open({ applicationName: applicationName(id), signal });
    for (;;) {
      await terminateOthers(session, liveOid);
      await server.options.clock.sleep(EVERY_MS, either);
    }
  } catch (error) {
    if (!isAbort(error)) {
      const message = 'sessions of others could not be ended; the locks are waited for';
      server.options.log.warn({ error }, message);
    }
  }
}
