import { link, open, rename, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { RestoreReport } from '../../core/requests/report.ts';
import {
  openExclusive,
  renameDurably,
  syncFolder,
  writeDurably,
} from '../../core/runtime/durable-files.ts';
import { diskError } from '../../core/runtime/process/disk-full.ts';
import { requireProgram } from '../../core/runtime/process/find-program.ts';
import { runPipeline } from '../../core/runtime/process/pipeline.ts';
import { between, type Checkpoint } from '../checkpoint.ts';
import { isDenied } from './open-drop.ts';
import { lookAt } from './scan.ts';

/** Where a file and its report go: done/ or failed/. */
export interface FilingPlace {
  readonly folder: string;
  /** Free for both the file and its report. */
  readonly name: string;
}

/** The name as it is, or with the restore's id in front where it is taken. */
export async function placeFor(folder: string, name: string, id: string): Promise<FilingPlace> {
  const file = await lookAt(join(folder, name));
  const report = await lookAt(join(folder, reportName(name)));
  return { folder, name: file || report ? `${id}-${name}` : name };
}

export const reportName = (name: string) => `${name}.report.json`;

/** Writes the report, durably, beside the file that it speaks of. */
export async function writeReport(
  place: FilingPlace,
  report: RestoreReport,
  checkpoint: Checkpoint,
): Promise<void> {
  await between(checkpoint, 'write report', () =>
    writeDurably(
      join(place.folder, reportName(place.name)),
      `${JSON.stringify(report, undefined, 2)}\n`,
      0o644,
    ),
  );
}

/**
 * Moves whatever `path` is (links are not followed); false where it has to stay: on another mount,
 * a folder of another user's, whose `..` is not ours to change, or what only its owner may move.
 */
export async function moveAside(
  path: Buffer | string,
  place: FilingPlace,
  checkpoint: Checkpoint,
): Promise<boolean> {
  try {
    await between(checkpoint, 'move aside', async () => {
      await rename(path, join(place.folder, place.name));
      await syncFolder(place.folder);
    });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EXDEV' || code === 'EBUSY' || isDenied(error)) return false;
    throw error;
  }
}

/** As moveAside for a claimed file, which is copied where done/ or failed/ is another mount. */
export async function moveClaimed(
  path: string,
  place: FilingPlace,
  checkpoint: Checkpoint,
  signal: AbortSignal,
): Promise<void> {
  if (await moveAside(path, place, checkpoint)) return;
  const target = join(place.folder, place.name);
  const partial = `${target}.partial`;
  await rm(partial, { force: true });
  {
    await using source = await open(path, 'r');
    await using copy = await openExclusive(partial);
    const cat = { name: 'cat', file: requireProgram('cat', 'coreutils'), args: [] };
    await runPipeline([cat], { signal, stdinFd: source.fd, stdoutFd: copy.fd }).catch(
      async (error: unknown) => {
        await rm(partial, { force: true });
        throw diskError(error, `the volume of ${place.folder}`);
      },
    );
    await copy.sync();
  }
  await renameDurably(partial, target);
}

/** Puts a claimed file back under its old name; false where that name is taken, or far away. */
export async function putBack(path: string, destination: Buffer): Promise<boolean> {
  try {
    await link(path, destination);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'EXDEV' || code === 'EPERM') return false;
    throw error;
  }
  await unlink(path);
  await syncFolder(dirname(path));
  return true;
}

export async function removeWorkFolder(path: string, checkpoint: Checkpoint): Promise<void> {
  await between(checkpoint, 'remove work folder', async () => {
    await rm(path, { recursive: true, force: true });
    await syncFolder(dirname(path));
  });
}
