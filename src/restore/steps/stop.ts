import type { DatabaseLock } from '../../core/engines/engine.ts';
import { messageOf, throwIfAborted } from '../../core/runtime/errors.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import type { MachineParts } from '../parts.ts';

/** Waits for a backup that runs; from here on none begins. */
export async function takeLock(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<DatabaseLock> {
  const { waitForBackupMs } = parts.settings;
  return parts.engine.lock(
    {
      purpose: 'restore',
      waitMs: waitForBackupMs,
      onWait: (holder) => {
        const message = `waiting for ${holder ?? 'a backup'} to end`;
        job.log.info({ holder, mostMs: waitForBackupMs }, message);
        job.say(message);
      },
    },
    signal,
  );
}

/**
 * Notes durably what runs, then stops it in order; settles when everything is confirmed stopped. A
 * stop that was begun is seen to its end until `late`: broken off, it would take effect after the
 * container has been taken for running again.
 */
export async function stopStep(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
  late: AbortSignal,
): Promise<Partial<JobRecord>> {
  const targets = await parts.application.resolvePatiently(signal);
  await parts.turn?.take([...targets.stop, ...targets.start], signal, () =>
    job.say('waiting for the restore of another database that has the same containers stopped'),
  );
  const running = await parts.application.running(targets.stop, signal);
  const at = parts.clock.now().toISOString();
  const names = await withThoseStillDown(running, targets.stop, parts);
  await parts.stopped.write({ restoreId: job.description.id, names, at });
  job.note({ stopped: running });
  // What begins here is not what was broken off before.
  parts.lateStops.until = Number.NEGATIVE_INFINITY;
  await parts.checkpoint('before stop of containers');
  if (running.length > 0) await stopAll(running, job, parts, signal, late);
  await parts.checkpoint('after stop of containers');
  const { stopped = running } = job.record;
  const seen = { stopped, stoppedAt: parts.clock.now().toISOString() };
  // Also where the next write fails: no stop is on its way any more.
  job.note(seen);
  return seen;
}

/** What an earlier restore stopped and could not start yet must not be forgotten. */
async function withThoseStillDown(
  running: readonly string[],
  order: readonly string[],
  parts: MachineParts,
): Promise<string[]> {
  const earlier = await parts.stopped.read();
  const owed = new Set([...running, ...(earlier.kind === 'known' ? earlier.stopped.names : [])]);
  const inOrder = order.filter((name) => owed.has(name));
  return [...inOrder, ...[...owed].filter((name) => !order.includes(name))];
}

async function stopAll(
  names: readonly string[],
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
  late: AbortSignal,
) {
  // Between two containers nothing is on its way: what was stopped can be started for good.
  const endIfAsked = () => {
    if (signal.aborted) job.note({ stoppedAt: parts.clock.now().toISOString() });
    throwIfAborted(signal);
  };
  const onStopped = async (name: string) => {
    await parts.checkpoint(`stopped ${name}`);
    endIfAsked();
  };
  endIfAsked();
  await parts.application.stop(names, {
    signal: late,
    onStopped,
    onCameBack: (back) => noteAgain(back, WHILE_STOPPED, job, parts),
  });
}

/**
 * Containers that came back (an engine's restart policy, a deployment) are stopped once more; so are
 * those that did not run at the stop and have been started since.
 */
export async function confirmStopped(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<void> {
  await parts.application.confirmStopped(job.record.stopped ?? [], {
    signal,
    async onCameBack(back) {
      await noteAgain(back, WHILE_STOPPED, job, parts);
      await job.save({ stoppingAgain: true }, 'stopping again');
    },
  });
  // Durable with the next write.
  if (job.record.stoppingAgain) job.note({ stoppingAgain: false });
}

/**
 * Whoever came back between the last look and the swap may hold on to what was live before: an open
 * file, a cache. It is stopped, to be started with the others. The swap is done: what fails is told.
 */
export async function endThoseFromBefore(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await parts.application.confirmStopped(job.record.stopped ?? [], {
      signal,
      async onCameBack(back) {
        await noteAgain(back, WHILE_SWAPPED, job, parts);
        await job.save({ stoppingAgain: true }, 'stopping again');
      },
    });
  } catch (error) {
    const why = messageOf(error);
    job.warn(`whether a container came back before the swap is not known: ${why}`);
    return;
  }
  if (job.record.stoppingAgain) job.note({ stoppingAgain: false });
}

const WHILE_STOPPED = (names: string) =>
  `came back while stopped for the restore, and stopped again: ${names} (started or re-created by somebody else, or by a restart of Docker)`;
const WHILE_SWAPPED = (names: string) =>
  `came back while the databases were swapped, and started anew: ${names} (what it wrote before is in the previous database)`;

/** Told, and durable before they are stopped: those that did not run before are to run again, too. */
async function noteAgain(
  back: readonly string[],
  warning: (names: string) => string,
  job: Job,
  parts: MachineParts,
): Promise<void> {
  job.warn(warning(back.join(', ')));
  const { stopped = [] } = job.record;
  const names = [...new Set([...stopped, ...back])];
  if (names.length === stopped.length) return;
  const at = parts.clock.now().toISOString();
  const owed = await withThoseStillDown(names, names, parts);
  await parts.stopped.write({ restoreId: job.description.id, names: owed, at });
  job.note({ stopped: names });
}
