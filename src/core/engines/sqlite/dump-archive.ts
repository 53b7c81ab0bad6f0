import { stat } from 'node:fs/promises';
import { hasZstd, zstdCompress, zstdDecompress } from '../../archive/zstd.ts';
import { ageEncrypt, encryptionError, encryptionOf } from '../../encryption/age-encrypt.ts';
import { openExclusive } from '../../runtime/durable-files.ts';
import { throwIfAborted } from '../../runtime/errors.ts';
import { requireProgram } from '../../runtime/process/find-program.ts';
import type { Program, UserIdentity } from '../../runtime/process/program.ts';
import { sha256Of } from '../../runtime/process/sha256.ts';
import { witnessed } from '../../runtime/process/witness.ts';
import type { Dump, DumpRequest } from '../engine.ts';
import type { CopyAnswer } from './protocol.ts';

export type WrittenArchive = Pick<Dump, 'archive' | 'readOnTheWay'>;

export interface ArchiveOptions {
  /** Who may read the copy. */
  readonly runAs: UserIdentity | undefined;
  /** Of age; none: not encrypted. */
  readonly recipients: readonly string[];
}

/** Writes the copy into the new file of the spool, compressed. */
export async function writeArchive(
  { copy, bytes }: CopyAnswer,
  { runAs, recipients }: ArchiveOptions,
  request: DumpRequest,
  signal: AbortSignal,
): Promise<WrittenArchive> {
  const { spool, nice } = request;
  const read = program('cat', ['--', copy], { nice, ...(runAs ? { runAs } : {}) });
  const contentSha256 = await sha256Of([read], { signal });
  const zstd = hasZstd() ? [zstdCompress(request.compressionLevel, { nice })] : [];
  await (await openExclusive(spool)).close();
  const packed = [read, ...zstd];
  const intoSpool = teeInto(spool, nice);
  const written =
    recipients.length > 0
      ? await encrypted(packed, recipients, intoSpool, signal)
      : { sha256: await sha256Of([...packed, intoSpool], { signal }) };
  const seen = written.contentSha256;
  return {
    archive: {
      format: 'sqlite-file',
      compression: zstd.length > 0 ? 'zstd' : 'none',
      bytes: (await stat(spool)).size,
      sha256: written.sha256,
      contentBytes: bytes,
      contentSha256,
      ...encryptionOf(recipients),
    },
    ...(seen ? { readOnTheWay: { contentBytes: bytes, contentSha256: seen } } : {}),
  };
}

/** `… | tee FIFO | age | tee SPOOL | SHA256`, and beside it `zstd -d | SHA256` of the FIFO. */
async function encrypted(
  packed: readonly Program[],
  recipients: readonly string[],
  intoSpool: Program,
  signal: AbortSignal,
): Promise<{ readonly sha256: string; readonly contentSha256?: string }> {
  const { nice = 0 } = intoSpool;
  const unpack = hasZstd() ? [zstdDecompress()] : [];
  try {
    const [sha256, contentSha256] = await witnessed(
      signal,
      (fifo, joint) => {
        const encrypt = [teeInto(fifo, nice), ageEncrypt(recipients, { nice }), intoSpool];
        return sha256Of([...packed, ...encrypt], { signal: joint });
      },
      (source, joint) => sha256Of([source, ...unpack], { signal: joint }),
    );
    return { sha256, contentSha256 };
  } catch (error) {
    throwIfAborted(signal);
    throw encryptionError(error);
  }
}

function teeInto(path: string, nice: number): Program {
  return program('tee', ['--output-error=exit', '--', path], { nice });
}

function program(name: string, args: string[], extra: Partial<Program>): Program {
  return { name, file: requireProgram(name, 'coreutils'), args, ...extra };
}
