import { DropbackError, messageOf } from '../../core/runtime/errors.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import type { MachineParts, StartResult } from '../parts.ts';

/**
 * Starts what `stopped.json` says, in reverse order, and what is to be started in any case. The
 * file is removed only when everything runs: whatever doesn't is tried again by the daemon.
 */
export async function startStep(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  const downtimeMs = downtimeOf(job.record, parts);
  const result = await bringBack(parts, signal);
  for (const line of [...(result?.failed ?? []), ...(result?.warnings ?? [])]) job.warn(line);
  return downtimeMs === undefined ? {} : { downtimeMs };
}

/** From *stop confirmed* to now, which is when the start is sent. */
function downtimeOf(record: JobRecord, parts: MachineParts): number | undefined {
  const { stoppedAt, stopped = [], downtimeMs } = record;
  if (downtimeMs !== undefined || stoppedAt === undefined || stopped.length === 0)
    return downtimeMs;
  return Math.max(0, parts.clock.now().getTime() - Date.parse(stoppedAt));
}

/** Undefined where nothing is noted as stopped. */
export async function bringBack(
  parts: Pick<MachineParts, 'application' | 'stopped' | 'checkpoint' | 'log'>,
  signal: AbortSignal,
): Promise<StartResult | undefined> {
  const condition = await parts.stopped.read();
  if (condition.kind === 'none') return undefined;
  if (condition.kind === 'unusable') throw stoppedUnusable();
  const names = [...condition.stopped.names].reverse();
  const extras = await extrasToStart(parts, names, signal);
  await parts.checkpoint('before start of containers');
  const result = await startAll(parts, [...names, ...extras], signal);
  await parts.checkpoint('after start of containers');
  if (result.failed.length === 0) await parts.stopped.remove();
  return result;
}

async function startAll(
  parts: Pick<MachineParts, 'application'>,
  names: readonly string[],
  signal: AbortSignal,
): Promise<StartResult> {
  if (names.length === 0) return { failed: [], warnings: [] };
  return parts.application.start(names, signal);
}

/** A selector that matches nothing any more must not keep the others from coming back. */
async function extrasToStart(
  parts: Pick<MachineParts, 'application' | 'log'>,
  names: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const { start } = await parts.application.resolve(signal);
    return start.filter((name) => !names.includes(name));
  } catch (error) {
    parts.log.warn(`RESTORE_START_CONTAINERS can't be looked up now: ${messageOf(error)}`);
    return [];
  }
}

export function stoppedUnusable(): DropbackError {
  return new DropbackError('journal/unusable', 'stopped.json is damaged', {
    hint: 'every listed container that is not running is started instead.',
  });
}
