import { constants } from 'node:fs';
import { chmod, type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { changedAfterClaim } from '../../core/archive/own-copy.ts';
import { openExclusive, syncFolder } from '../../core/runtime/durable-files.ts';
import { diskError } from '../../core/runtime/process/disk-full.ts';
import { requireProgram } from '../../core/runtime/process/find-program.ts';
import { runPipeline } from '../../core/runtime/process/pipeline.ts';
import { sha256OfFile } from '../../core/runtime/process/sha256.ts';
import { between, type Checkpoint } from '../checkpoint.ts';
import {
  becameOurs,
  changed,
  hardLink,
  isDenied,
  notAFile,
  notMovable,
  openDrop,
} from './open-drop.ts';
import { inPinnedFolder } from './pinned.ts';
import { lookAt, signatureOf, typeOf } from './scan.ts';

export interface ClaimRequest {
  /** Bytes, since names need not be UTF-8. */
  readonly source: Buffer;
  /** As the scan saw the file; a different one is not claimed. */
  readonly signature: string;
  /** Folder of the job; exists. */
  readonly workFolder: string;
  readonly checkpoint: Checkpoint;
}

/** A file that is ours alone now. */
export interface ClaimedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly signature: string;
}

export const claimedPath = (workFolder: string) => join(workFolder, 'drop');

/**
 * Moves a regular file with one name into the work folder; links are never followed. Errors:
 * `drop/changed` (retryable: it is settled anew), `drop/not-a-file`, `drop/hard-link`,
 * `drop/not-readable`, `drop/not-movable`.
 */
export function claimFile(request: ClaimRequest, signal: AbortSignal): Promise<ClaimedFile> {
  return inPinnedFolder(request.source, (source) => claimPinned({ ...request, source }, signal));
}

async function claimPinned(request: ClaimRequest, signal: AbortSignal): Promise<ClaimedFile> {
  const { source, workFolder, checkpoint } = request;
  await using file = await openDrop(source, request.signature);
  const target = claimedPath(workFolder);
  await between(checkpoint, 'move into work', async () => {
    try {
      await moveIn(source, target, request.signature);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
      await copyAcross(file, request, target, signal);
    }
    await syncFolder(workFolder);
    await syncFolder(folderOf(source));
  });
  return describeClaimed(target, signal);
}

/** As the image runs the daemon it may take a file over that its owner alone could move. */
async function moveIn(source: Buffer, target: string, signature: string): Promise<void> {
  try {
    await rename(source, target);
  } catch (error) {
    if (!isDenied(error)) throw error;
    if (!(await becameOurs(source, signature))) throw notMovable(error);
    await rename(source, target).catch((again: unknown) => {
      throw isDenied(again) ? notMovable(again) : again;
    });
  }
}

async function requireUnchanged(file: FileHandle, signature: string): Promise<void> {
  if (signatureOf(await file.stat({ bigint: true })) !== signature) throw changed();
}

/** Another mount: copy, fsync, compare, then take the original away. */
async function copyAcross(
  file: FileHandle,
  request: ClaimRequest,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const partial = `${target}.partial`;
  await unlink(partial).catch(ignoreMissing);
  {
    await using copy = await openExclusive(partial);
    const cat = { name: 'cat', file: requireProgram('cat', 'coreutils'), args: [] };
    await runPipeline([cat], { signal, stdinFd: file.fd, stdoutFd: copy.fd }).catch(
      async (error: unknown) => {
        // It may be what has filled the volume that the journal is on.
        await unlink(partial);
        throw diskError(error, 'the volume of the drop folder');
      },
    );
    await copy.sync();
    await requireUnchanged(file, request.signature);
    const [{ size }, original] = [await copy.stat(), await file.stat()];
    if (size !== original.size) throw changed();
  }
  await requireSameContent(request.source, partial, signal);
  await request.checkpoint('before rename of the copy');
  await rename(partial, target);
  await syncFolder(request.workFolder);
  await request.checkpoint('before unlink of the original');
  if (await removeIfStill(request.source, request.signature)) return;
  await unlink(target);
  throw notMovable(undefined);
}

async function requireSameContent(source: Buffer, copy: string, signal: AbortSignal) {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  await using file = await open(source, flags);
  const cmp = { name: 'cmp', file: requireProgram('cmp', 'diffutils'), args: ['--', '-', copy] };
  await runPipeline([cmp], { signal, stdinFd: file.fd });
}

/**
 * Also for recovery: a copy that was taken in whole may not be taken up a second time. False where it
 * has to stay, because only its owner may remove it.
 */
export async function removeIfStill(source: Buffer, signature: string): Promise<boolean> {
  const stats = await lookAt(source);
  if (!stats || signatureOf(stats) !== signature) return true;
  try {
    await unlink(source).catch(ignoreMissing);
    return true;
  } catch (error) {
    if (isDenied(error)) return false;
    throw error;
  }
}

/** Checksum and identity of the claimed file, private from now on. */
export async function describeClaimed(path: string, signal: AbortSignal): Promise<ClaimedFile> {
  const before = await requirePlain(path);
  // Best effort: it may belong to another user, and the work folder is private anyway.
  await chmod(path, 0o600).catch(() => {});
  const sha256 = await sha256OfFile(path, signal);
  const after = await requirePlain(path);
  if (signatureOf(after) !== signatureOf(before)) throw changedAfterClaim();
  return { path, bytes: Number(after.size), sha256, signature: signatureOf(after) };
}

/** After staging: what was loaded is what was claimed. Throws `drop/changed-after-claim`. */
export async function recheckClaimed(
  path: string,
  claimed: Pick<ClaimedFile, 'sha256' | 'signature'>,
  signal: AbortSignal,
): Promise<void> {
  const stats = await requirePlain(path);
  if (signatureOf(stats) !== claimed.signature) throw changedAfterClaim();
  if ((await sha256OfFile(path, signal)) !== claimed.sha256) throw changedAfterClaim();
}

async function requirePlain(path: string) {
  const stats = await lookAt(path);
  if (!stats) throw changedAfterClaim();
  if (!stats.isFile()) throw notAFile(typeOf(stats));
  if (stats.nlink !== 1n) throw hardLink(Number(stats.nlink));
  return stats;
}

/** Only the last part can be anything but UTF-8: the folders are ours. */
function folderOf(path: Buffer): string {
  return path.subarray(0, Math.max(1, path.lastIndexOf(0x2f))).toString('utf8');
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
