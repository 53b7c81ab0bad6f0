import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { renameDurably, syncFolder, writeDurably } from '../../core/runtime/durable-files.ts';
import {
  type ClaimedFile,
  claimedPath,
  claimFile,
  describeClaimed,
  removeIfStill,
} from '../drop-folder/claim.ts';
import { safeName } from '../drop-folder/drop-name.ts';
import { lookAt, signatureOf } from '../drop-folder/scan.ts';
import { requireWithoutLog } from '../drop-folder/sqlite-log.ts';
import type { Job } from '../job.ts';
import type { JobDescription, JobRecord } from '../journal/record.ts';
import { noteBackup } from '../known-backup.ts';
import type { MachineParts } from '../parts.ts';

/** Where a job's file comes from, as bytes; undefined where a backup is fetched. */
export function sourcePath(job: JobDescription, parts: MachineParts): Buffer {
  const { incoming, check, requests } = parts.folders;
  const folder =
    job.source.kind === 'request'
      ? join(requests, job.source.requestId)
      : job.source.mode === 'check'
        ? check
        : incoming;
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(job.rawName, 'base64')]);
}

/** The name of the file in a work folder that says what the folder is for. */
export const JOB_FILE = 'job.json';

/** Takes the file into the work folder; one that an earlier attempt took in is there already. */
export async function claimStep(
  job: Job,
  parts: MachineParts,
  signal: AbortSignal,
): Promise<Partial<JobRecord>> {
  await mkdir(job.workFolder, { mode: 0o700, recursive: true });
  await chmod(job.workFolder, 0o700);
  await writeDurably(join(job.workFolder, JOB_FILE), JSON.stringify(job.description));
  await syncFolder(parts.folders.work);
  const path = claimedPath(job.workFolder);
  const isIn = (await lookAt(path)) !== undefined;
  if (isIn) await removeCopiedOriginal(job, parts);
  const claimed = isIn ? await describeClaimed(path, signal) : await takeIn(job, parts, signal);
  return {
    claimed: { bytes: claimed.bytes, sha256: claimed.sha256, signature: claimed.signature },
  };
}

async function takeIn(job: Job, parts: MachineParts, signal: AbortSignal): Promise<ClaimedFile> {
  const { backupId } = job.description;
  const path = claimedPath(job.workFolder);
  if (backupId !== undefined) {
    // Aside first: what has the final name is whole.
    const aside = `${path}.partial`;
    await rm(aside, { force: true });
    const manifest = await parts.catalogue.fetch(backupId, aside, signal);
    await renameDurably(aside, path);
    await noteBackup(job.workFolder, { sha256: manifest.archive.sha256, manifest });
    const name = safeName(Buffer.from(manifest.archive.file));
    job.note({ job: { ...job.description, name }, backupOfOurs: manifest.id });
    return describeClaimed(path, signal);
  }
  const source = sourcePath(job.description, parts);
  await requireWithoutLog(source);
  const signature = job.record.sourceSignature ?? (await signatureNow(source));
  await job.save({ sourceSignature: signature }, 'source signature');
  const { checkpoint } = parts;
  return claimFile({ source, signature, workFolder: job.workFolder, checkpoint }, signal);
}

/** Taken in from another mount, and interrupted before the original was removed. */
async function removeCopiedOriginal(job: Job, parts: MachineParts): Promise<void> {
  const { sourceSignature } = job.record;
  if (sourceSignature === undefined) return;
  await removeIfStill(sourcePath(job.description, parts), sourceSignature);
}

async function signatureNow(source: Buffer): Promise<string> {
  const stats = await lookAt(source);
  return stats ? signatureOf(stats) : '';
}
