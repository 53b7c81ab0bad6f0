import { encryptionError } from '../../../encryption/age-encrypt.ts';
import { throwIfAborted } from '../../../runtime/errors.ts';
import { witnessed } from '../../../runtime/process/witness.ts';
import type { Dump, DumpRequest } from '../../engine.ts';
import { chooseClient } from '../clients.ts';
import { bytesGivenToZstd, runDump, type WrittenArchive, writtenSpool } from './dump-archive.ts';
import { type DumpCommand, encryptedPipeline } from './dump-command.ts';
import { scanWitnessed } from './read-back-scan.ts';

/**
 * Writes the archive into the spool, which exists, encrypted. What goes into
 * the encryption is read whole at the same time, as a read-back would; unencrypted it is on no disk.
 */
export async function writeEncryptedArchive(
  command: DumpCommand,
  request: DumpRequest,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<WrittenArchive & Required<Pick<Dump, 'readOnTheWay'>>> {
  const { serverMajor, client } = command;
  const reader = await chooseClient({ serverMajor, archiveMajor: client.major }, signal);
  let given: number | undefined;
  const onStderr = (program: string, line: string) => {
    if (program === 'zstd') given ??= bytesGivenToZstd(line);
  };
  try {
    const [{ printed, warnings }, scan] = await witnessed(
      signal,
      (fifo, joint) => {
        const programs = encryptedPipeline(command, request, { fifo, recipients });
        return runDump(programs, command, joint, { onStderr });
      },
      (source, joint) => scanWitnessed(source, reader, client.major, joint),
    );
    const sealed = await writtenSpool(request.spool, printed);
    const contentBytes = given ?? scan.contentBytes ?? 0;
    const readOnTheWay = { ...scan, contentBytes: scan.contentBytes ?? contentBytes };
    return { ...sealed, contentBytes, warnings, readOnTheWay };
  } catch (error) {
    throwIfAborted(signal);
    throw encryptionError(error);
  }
}
