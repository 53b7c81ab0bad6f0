import { bringBack, type StartParts } from '../bring-back.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import { stopsOf } from '../roll-back.ts';

/**
 * Starts what `stopped.json` says, in reverse order, then RESTORE_START_CONTAINERS. Whatever still
 * doesn't run is a warning here, and is tried again by the daemon.
 */
export async function startStep(
  job: Job,
  parts: StartParts,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  let sentAt: number | undefined;
  const onStart = (_name: string, at: Date) => {
    sentAt ??= at.getTime();
  };
  const result = await bringBack(parts, signal, { stops: stopsOf(job.record), onStart });
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
