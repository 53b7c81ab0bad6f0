import { mkdir, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { partialFolderOf } from '../../../archive/archive-name.ts';
import { toDropbackError } from '../../../runtime/errors.ts';
import { sha256Program } from '../../../runtime/process/sha256.ts';
import { together } from '../../../runtime/together.ts';
import type { DumpRequest } from '../../engine.ts';
import { runDump, type WrittenArchive, writtenSpool } from './dump-archive.ts';
import { type DumpCommand, pack, parallelDump } from './dump-command.ts';
import { directoryCompression } from './dump-compression.ts';
import { FinishedFiles } from './finished-files.ts';
import { PackedNames } from './packed-names.ts';

/**
 * Dumps with several jobs into a private folder beside the spool, and packs that into the spool,
 * which exists: the file of each table as soon as it is done, so that an upload can begin. The folder is gone
 * when this settles; needs room for both.
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
    const names = new PackedNames();
    const files = new FinishedFiles(folder, names);
    const feed = (stdin: Writable) => names.feed(stdin);
    const dump = async (joint: AbortSignal) => {
      const { warnings } = await runDump([program], command, joint, {
        onStderr: (_, line) => files.noticed(line),
      });
      return { warnings, contentBytes: await files.rest(joint) };
    };
    // What the spool has to be is learnt from the files, not from what was written of them: reading it
    // back then finds whatever went wrong on the way. Both at a time take less than `tar | tee | openssl`.
    const packInto = (into: string) => pack(folder, into, command.snapshotAt, request);
    const hash = sha256Program(request.nice);
    const packing = (joint: AbortSignal) =>
      together(
        joint,
        (both) => runDump([packInto(request.spool)], command, both, { feed }),
        (both) => runDump([packInto('-'), hash], command, both, { feed }),
      );
    const [dumped, [, { printed }]] = await together(signal, dump, packing);
    return { ...(await writtenSpool(request.spool, printed)), ...dumped };
  } finally {
    await removeFolder(folder);
  }
}

/** A folder of ours with whatever is in it; missing is fine. */
export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 5 }).catch(rethrow);
}

function rethrow(error: unknown): never {
  throw toDropbackError(error);
}
