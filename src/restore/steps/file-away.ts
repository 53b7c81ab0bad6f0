import type { RestoreReport } from '../../core/requests/report.ts';
import { claimedPath, removeIfStill } from '../drop-folder/claim.ts';
import {
  moveAside,
  moveClaimed,
  placeFor,
  removeWorkFolder,
  writeReport,
} from '../drop-folder/filing.ts';
import { inPinnedFolder } from '../drop-folder/pinned.ts';
import { lookAt } from '../drop-folder/scan.ts';
import type { Job } from '../job.ts';
import type { MachineParts } from '../parts.ts';
import { logReport } from '../report.ts';
import { sourcePath } from './claim.ts';

/**
 * The end of every job: the report is decided and durable first, so that a restart files away
 * what was decided, in the same place. Idempotent.
 */
export async function fileAway(
  job: Job,
  parts: MachineParts,
  report: RestoreReport,
): Promise<void> {
  if (!job.record.report) {
    const { folders } = parts;
    const isGood = report.outcome !== 'refused' && report.outcome !== 'failed';
    const folder = isGood ? folders.done : folders.failed;
    const place = await placeFor(folder, nameOf(job), job.description.id);
    await job.save({ step: 'file-away', phase: 'intent', report, place }, 'intent file-away');
    logReport(job, report);
  }
  await finishFiling(job, parts);
}

/** From the journal alone: also what a restarted daemon does. */
export async function finishFiling(job: Job, parts: MachineParts): Promise<void> {
  const { report, place } = job.record;
  if (!report || !place) return;
  await parts.news.ended(report);
  const { checkpoint } = parts;
  const claimed = claimedPath(job.workFolder);
  const isDrop = job.description.source.kind === 'drop';
  if (isDrop && (await lookAt(claimed))) {
    // Copied from another mount, and the end came before the original was removed.
    const { sourceSignature } = job.record;
    if (sourceSignature) await removeIfStill(sourcePath(job.description, parts), sourceSignature);
    await moveClaimed(claimed, place, checkpoint, new AbortController().signal);
  } else if (isDrop && job.record.claimed === undefined && job.record.sourceSignature) {
    await moveUnclaimed(job, parts);
  }
  await writeReport(place, report, checkpoint);
  await removeWorkFolder(job.workFolder, checkpoint);
  await parts.journal.write(null, 'done');
}

/** Refused at the claim: it still lies in the drop folder, and would be seen again and again. */
async function moveUnclaimed(job: Job, parts: MachineParts): Promise<void> {
  const { place } = job.record;
  const source = sourcePath(job.description, parts);
  if (!place || !(await lookAt(source))) return;
  const moved = await inPinnedFolder(source, (pinned) =>
    moveAside(pinned, place, parts.checkpoint),
  );
  if (moved) return;
  const why = 'another mount, or of another user';
  job.log.warn(
    `${job.description.name} cannot be moved (${why}): it stays where it is, and is not taken up again unless it changes`,
  );
}

/** Undo has no file: its report is named after what it swapped back in. */
function nameOf(job: Job): string {
  const { kind, name, id } = job.description;
  return kind === 'undo' || name === '' ? `${kind}-${id}` : name;
}
