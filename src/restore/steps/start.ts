import type { StartResult } from '../../core/containers/start.ts';
import { DropbackError } from '../../core/runtime/errors.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import type { MachineParts } from '../parts.ts';

/** The rest of the daemon brings containers back too: after a crash, and on every poll. */
export type StartParts = Pick<MachineParts, 'application' | 'stopped' | 'checkpoint' | 'log'>;

/**
 * Starts what `stopped.json` says, in reverse order, then RESTORE_START_CONTAINERS. Whatever still
 * doesn't run is a warning here, and is tried again by the daemon.
 */
export async function startStep(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  let sentAt: number | undefined;
  const onStart = (_name: string, at: Date) => {
    sentAt ??= at.getTime();
  };
  const result = await bringBack(parts, signal, onStart);
  job.warn(...(result?.warnings ?? []));
  const downtimeMs = downtimeOf(job.record, sentAt);
  return {
    ...(downtimeMs === undefined ? {} : { downtimeMs }),
    ...(result && result.warnings.length > 0 ? { needsAttention: true } : {}),
  };
}

/** From *stop confirmed* to *start sent*, both by the wall clock: a restart may lie between. */
function downtimeOf(record: JobRecord, sentAt: number | undefined): number | undefined {
  const { stoppedAt, stopped = [], downtimeMs } = record;
  if (downtimeMs !== undefined || sentAt === undefined) return downtimeMs;
  if (stoppedAt === undefined || stopped.length === 0) return undefined;
  return Math.max(0, sentAt - Date.parse(stoppedAt));
}

/**
 * Undefined where nothing is noted as stopped. `stopped.json` is removed only when everything runs.
 * Throws `journal/unusable` where it is damaged, `run/aborted`.
 */
export async function bringBack(
  parts: StartParts,
  signal: AbortSignal,
  onStart?: (name: string, sentAt: Date) => void,
): Promise<StartResult | undefined> {
  const condition = await parts.stopped.read();
  if (condition.kind === 'none') return undefined;
  if (condition.kind === 'unusable') throw stoppedUnusable();
  await parts.checkpoint('before start of containers');
  const options = onStart ? { signal, onStart } : { signal };
  const result = await parts.application.start(condition.stopped.names, options);
  await parts.checkpoint('after start of containers');
  if (!hasFailed(result)) await parts.stopped.remove();
  return result;
}

export function hasFailed(result: StartResult): boolean {
  return result.containers.some(({ outcome }) => outcome === 'failed');
}

function stoppedUnusable(): DropbackError {
  return new DropbackError('journal/unusable', 'stopped.json is damaged', {
    hint: 'every listed container that is not running is started instead.',
  });
}
