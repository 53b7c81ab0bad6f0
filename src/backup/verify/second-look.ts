import { dirname, join } from 'node:path';
import { requireAsInArchive } from '../../core/archive/as-in-archive.ts';
import type { Manifest } from '../../core/archive/manifest.ts';
import { unpack } from '../../core/archive/unpack.ts';
import type { UnpackedDrop } from '../../core/archive/unpacked.ts';
import { ensureFolder } from '../../core/runtime/durable-files.ts';
import { DropbackError, errorReport, isAbort } from '../../core/runtime/errors.ts';
import { digestFile, requireDigest } from '../../core/stores/file-copy.ts';
import { verdictOf } from './verdict.ts';

/** An archive whose checksum was compared, and where it is unpacked. */
export interface LocatedArchive {
  readonly manifest: Manifest;
  readonly path: string;
  readonly workFolder: string;
}

/** As `unpack`. What fails once and not again is no fault of the archive's: `verify/not-as-in-archive`. */
export async function unpackArchive(
  known: LocatedArchive,
  signal: AbortSignal,
): Promise<UnpackedDrop> {
  try {
    return await unpackInto(known.workFolder, known, signal);
  } catch (error) {
    throw await secondLook(error, known, signal);
  }
}

/**
 * The error that a rehearsal ends with. One that would be held against the backup is so only if the
 * archive still has its checksum, and what was unpacked is what is in it: else a volume is at fault.
 */
export async function secondLook(
  error: unknown,
  known: LocatedArchive & { readonly archive?: UnpackedDrop },
  signal: AbortSignal,
): Promise<unknown> {
  if (verdictOf(error) !== 'failed') return error;
  const { manifest, path, workFolder, archive } = known;
  try {
    requireDigest(manifest, await digestFile(path, signal), path);
    if (archive) {
      await requireAsInArchive(path, manifest, archive, signal);
      return error;
    }
  } catch (second) {
    if (isAbort(second) && signal.aborted) return second;
    // Where the backup itself lies, and not a copy: that one is damaged.
    return dirname(path) === workFolder || !isDamage(second)
      ? notAsIn(known, error, second)
      : second;
  }
  try {
    await unpackInto(join(workFolder, 'again'), known, signal);
    return notAsIn(known, error);
  } catch (second) {
    if (isAbort(second) && signal.aborted) return second;
    return verdictOf(second) === 'failed' ? error : second;
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof DropbackError && /^store\/(corrupt|unreadable)$/.test(error.code);
}

async function unpackInto(
  workFolder: string,
  { manifest, path }: LocatedArchive,
  signal: AbortSignal,
): Promise<UnpackedDrop> {
  const { file, sha256 } = manifest.archive;
  await ensureFolder(workFolder);
  const request = { path, fileName: file, workFolder, sha256, manifest, force: false };
  return await unpack(request, signal);
}

function notAsIn({ workFolder }: LocatedArchive, error: unknown, second?: unknown): DropbackError {
  const { code, message } = errorReport(error);
  const differs = second === undefined ? {} : { secondLook: errorReport(second).message };
  return new DropbackError(
    'verify/not-as-in-archive',
    `what was unpacked in ${dirname(workFolder)} is not what is in the archive: ${message}`,
    {
      hint: 'that volume, or the memory, gives back something else than was written: look at the kernel’s log (dmesg). The archive has its checksum.',
      facts: { first: { code, message }, ...differs },
      cause: error,
    },
  );
}
