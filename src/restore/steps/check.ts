import { requireWritten } from '../../core/archive/compression.ts';
import type { UnpackedDrop } from '../../core/archive/unpacked.ts';
import { together } from '../../core/runtime/together.ts';
import { claimedPath, recheckClaimed } from '../drop-folder/claim.ts';
import type { Job } from '../job.ts';
import type { JobRecord } from '../journal/record.ts';
import type { MachineParts } from '../parts.ts';
import type { Inspected } from './inspect.ts';

/** Looks at what was loaded; and beside that makes sure that it was what was claimed, all of it. */
export async function checkStep(
  job: Job,
  parts: MachineParts,
  { drop, inspection }: Inspected,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  const { state, claimed } = job.record;
  if (!state) throw new Error('staged without a state');
  const [check] = await together(
    signal,
    (joint) => parts.engine.check(state, inspection, job.context(joint)),
    async (joint) => {
      const path = claimedPath(job.workFolder);
      if (claimed) await recheckClaimed(path, claimed, joint);
      if (isUnpackedFile(drop, path)) await requireWritten(drop.path);
    },
  );
  job.warn(...check.warnings);
  return { check };
}

/** Not a folder: of thousands of files that would take longer than their load. */
function isUnpackedFile(drop: UnpackedDrop, claimed: string): boolean {
  return drop.path !== claimed && drop.format !== 'postgres-directory';
}
