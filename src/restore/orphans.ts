import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { claimedPath } from './drop-folder/claim.ts';
import { moveClaimed, placeFor, putBack, removeWorkFolder } from './drop-folder/filing.ts';
import { lookAt } from './drop-folder/scan.ts';
import type { JobDescription } from './journal/record.ts';
import type { MachineParts } from './parts.ts';
import { JOB_FILE, sourcePath } from './steps/claim.ts';

/**
 * Work folders that the journal doesn't know (it was lost). A file in there is somebody's dump: it
 * goes back to where it was dropped, or to failed/; never away.
 */
export async function returnOrphans(
  parts: MachineParts,
  inHand: string | undefined,
): Promise<void> {
  for (const [name, folder] of await workFolders(parts)) {
    if (name === inHand) continue;
    await returnDrop(folder, name, parts);
    await removeWorkFolder(folder, parts.checkpoint);
  }
}

/** Whether one of them is of a restore that may have stopped the application: nobody else knows. */
export async function mayHaveStopped(parts: Pick<MachineParts, 'folders'>): Promise<boolean> {
  for (const [, folder] of await workFolders(parts)) {
    const job = await describedBy(folder);
    const isRestore = job?.kind === 'restore' && job.target?.kind === 'live';
    if (isRestore || (!job && (await lookAt(claimedPath(folder))))) return true;
  }
  return false;
}

/** Without files, which no restore leaves there: a user's, or what the check of the folders tries. */
async function workFolders({
  folders,
}: Pick<MachineParts, 'folders'>): Promise<(readonly [name: string, path: string])[]> {
  const entries = await readdir(folders.work, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => [name, join(folders.work, name)] as const);
}

async function returnDrop(folder: string, id: string, parts: MachineParts): Promise<void> {
  const path = claimedPath(folder);
  if (!(await lookAt(path))) return;
  const job = await describedBy(folder);
  const isDrop = job?.source.kind === 'drop';
  if (job && isDrop && (await putBack(path, sourcePath(job, parts)))) {
    parts.log.warn({ file: job.name }, 'an interrupted drop was put back into the drop folder');
    return;
  }
  if (job && !isDrop) return;
  const place = await placeFor(parts.folders.failed, job?.name ?? `drop-${id}`, id);
  await moveClaimed(path, place, parts.checkpoint, new AbortController().signal);
  parts.log.warn({ file: place.name }, 'an interrupted drop was moved to failed/');
}

async function describedBy(folder: string): Promise<JobDescription | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, JOB_FILE), 'utf8')) as JobDescription;
  } catch {
    return undefined;
  }
}
