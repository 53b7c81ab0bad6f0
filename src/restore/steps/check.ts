import type { Inspection } from '../../core/engines/engine.ts';
import { together } from '../../core/runtime/together.ts';
import { claimedPath, recheckClaimed } from '../drop-folder/claim.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import type { MachineParts } from '../parts.ts';

/** Looks at what was loaded; and beside that makes sure that it is what was claimed. */
export async function checkStep(
  job: Job,
  parts: MachineParts,
  inspection: Inspection,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  const { state, claimed } = job.record;
  if (!state) throw new Error('staged without a state');
  const [check] = await together(
    signal,
    (joint) => parts.engine.check(state, inspection, job.context(joint)),
    async (joint) => {
      if (claimed) await recheckClaimed(claimedPath(job.workFolder), claimed, joint);
    },
  );
  job.warn(...check.warnings);
  return { check };
}
