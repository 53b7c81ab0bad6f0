import { open, stat } from 'node:fs/promises';
import { zstdDecompress } from '../../archive/zstd.ts';
import { storedFileProblems } from '../../encryption/stored-file.ts';
import { DropbackError } from '../../runtime/errors.ts';
import { sha256Of } from '../../runtime/process/sha256.ts';
import type { Dump, ReadBack } from '../engine.ts';

/**
 * Reads the archive whole, twice: as it is stored, and decompressed. The content's checksum is that
 * of a copy whose every page was checked and whose rows were counted, so equal means all of that.
 * The content of an encrypted one was read on its way into the encryption.
 */
export async function readBack(
  archivePath: string,
  dump: Dump,
  signal: AbortSignal,
): Promise<ReadBack> {
  const { archive } = dump;
  await using file = await open(archivePath, 'r');
  const { size } = await stat(archivePath);
  const stored = await sha256Of([], { signal, stdinFd: file.fd });
  const content = await contentSha256(archivePath, stored, dump, signal);
  const differences = [
    size === archive.bytes ? '' : `${size} bytes instead of ${archive.bytes}`,
    stored === archive.sha256 ? '' : 'the checksum of the archive differs',
    content === archive.contentSha256 ? '' : 'the checksum of the content differs',
    ...(archive.encryption
      ? await storedFileProblems(archivePath, archive.encryption.recipients.length)
      : []),
  ].filter((line) => line !== '');
  if (differences.length === 0) return { tables: dump.tables, contentBytes: archive.contentBytes };
  throw new DropbackError('backup/read-back-mismatch', `read back: ${differences.join('; ')}`, {
    hint: 'the disk or its connection changes data: check it; this backup is not listed.',
    facts: { differences },
  });
}

async function contentSha256(
  archivePath: string,
  stored: string,
  { archive, readOnTheWay }: Dump,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (archive.encryption) return readOnTheWay?.contentSha256;
  return archive.compression === 'none' ? stored : await decompressed(archivePath, signal);
}

async function decompressed(archivePath: string, signal: AbortSignal): Promise<string> {
  // Its own descriptor: a shared one would have been read to its end.
  await using file = await open(archivePath, 'r');
  try {
    return await sha256Of([zstdDecompress()], { signal, stdinFd: file.fd });
  } catch (cause) {
    if (!(cause instanceof DropbackError && cause.code === 'tool/failed')) throw cause;
    throw new DropbackError('archive/unreadable', 'the archive cannot be decompressed', {
      hint: 'the disk or its connection changes data: check it; this backup is not listed.',
      facts: cause.facts,
      cause,
    });
  }
}
