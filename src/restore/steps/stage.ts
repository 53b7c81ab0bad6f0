import type { RestoreTarget } from '../../core/engines/engine.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import { sortKept } from '../kept.ts';
import type { MachineParts } from '../parts.ts';
import type { Inspected } from './inspect.ts';

/** Loads into staging. */
export async function stageStep(
  job: Job,
  parts: MachineParts,
  { drop, inspection }: Inspected,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  const context = job.context(signal);
  await makeRoom(job, parts, signal);
  const plan = await parts.engine.plan(inspection, targetOf(job), context);
  await job.save({ state: plan }, 'plan');
  const state = await parts.engine.stage(job.record.state ?? plan, drop, inspection, context);
  return { state };
}

function targetOf({ description: { kind, target } }: Job): RestoreTarget {
  return kind === 'check' && target.kind === 'live' ? { ...target, rehearsal: true } : target;
}

/**
 * One database more than the live one is all that the server must have room for: an older previous
 * one goes before staging. A check and a side target leave it alone: they don't make another; and what
 * is kept of another database isn't ours to drop.
 */
async function makeRoom(job: Job, parts: MachineParts, signal: AbortSignal): Promise<void> {
  const { kind, target } = job.description;
  if (kind !== 'restore' || target.kind !== 'live') return;
  const { ours } = await sortKept((await parts.previous.list()).records, parts.engine);
  for (const { previous } of ours) {
    await parts.engine.dropPrevious(previous, job.context(signal));
    await parts.previous.remove(previous);
    const since = previous.replacedAt;
    job.warn(`the previous database of ${since} (${previous.name}) was dropped to make room`);
  }
}
