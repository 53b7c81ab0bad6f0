import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { partialFolderOf } from '../../../archive/archive-name.ts';
import { throwIfAborted, toDropbackError } from '../../../runtime/errors.ts';
import { sha256Program } from '../../../runtime/process/sha256.ts';
import { together } from '../../../runtime/together.ts';
import type { DumpRequest } from '../../engine.ts';
import { runDump, type WrittenArchive, writtenSpool } from './dump-archive.ts';
import { type DumpCommand, pack, parallelDump } from './dump-command.ts';
import { directoryCompression } from './dump-compression.ts';

/**
 * Dumps with several jobs into a private folder beside the spool, then packs that into the spool,
 * which exists. The folder is gone when this settles; needs room for both.
 */
export async function writeParallelArchive(
  command: DumpCommand,
  jobs: number,
  request: DumpRequest,
  signal: AbortSignal,
): Promise<WrittenArchive> {
  const { client } = command;
  const compression = await directoryCompression(client, request.compressionLevel, signal);
  const folder = partialFolderOf(request.spool);
  await mkdir(folder, { mode: 0o700 }).catch(rethrow);
  try {
    const program = parallelDump(command, request, { folder, jobs, compression });
    const { warnings } = await runDump([program], command, signal);
    const contentBytes = await bytesIn(folder, signal);
    // What the spool has to be is learnt from the files, not from what was written of them: reading it
    // back then finds whatever went wrong on the way. Both at a time take less than `tar | tee | openssl`.
    const [, { printed }] = await together(
      signal,
      (joint) => runDump([pack(folder, request.spool, request)], command, joint),
      (joint) => runDump([pack(folder, '-', request), sha256Program(request.nice)], command, joint),
    );
    return { ...(await writtenSpool(request.spool, printed)), contentBytes, warnings };
  } finally {
    await removeFolder(folder);
  }
}

/** A folder of ours with whatever is in it; missing is fine. */
export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 5 }).catch(rethrow);
}

async function bytesIn(folder: string, signal: AbortSignal): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) {
    throwIfAborted(signal);
    bytes += (await lstat(join(folder, name))).size;
  }
  return bytes;
}

function rethrow(error: unknown): never {
  throw toDropbackError(error);
}
