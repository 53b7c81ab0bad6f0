import { rm } from 'node:fs/promises';
import { DropbackError } from '../runtime/errors.ts';
import { diskError } from '../runtime/process/disk-full.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import { runPipeline } from '../runtime/process/pipeline.ts';
import { sha256OfFile } from '../runtime/process/sha256.ts';

/**
 * Copies a claimed file to `destination`, a new file that nobody else has ever opened, and makes sure that
 * it has this sha256 (hex). Whoever dropped the file may still write to it, before it is read and back
 * again afterwards: of a file that is trusted for its checksum only such a copy may be read.
 * Errors: `drop/changed-after-claim`, `disk/full`.
 */
export async function copyOwn(
  path: string,
  destination: string,
  sha256: string,
  signal: AbortSignal,
): Promise<void> {
  const args = ['--reflink=auto', '--', path, destination];
  const cp = { name: 'cp', file: requireProgram('cp', 'coreutils'), args };
  try {
    await runPipeline([cp], { signal });
  } catch (error) {
    throw diskError(error, 'the volume of the drop folder');
  }
  if ((await sha256OfFile(destination, signal)) === sha256) return;
  await rm(destination);
  throw changedAfterClaim();
}

export function changedAfterClaim(): DropbackError {
  return new DropbackError(
    'drop/changed-after-claim',
    'the file was changed after it had been claimed',
    { hint: 'the program that wrote it was not done: write under another name, then rename it.' },
  );
}
