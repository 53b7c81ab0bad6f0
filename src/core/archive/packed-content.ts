import { type FileHandle, open } from 'node:fs/promises';
import { ageDecrypt, decryptionError, feedIdentity } from '../encryption/age-decrypt.ts';
import type { AgeIdentity } from '../encryption/identity.ts';
import { DropbackError } from '../runtime/errors.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import { type PipelineOptions, runPipeline } from '../runtime/process/pipeline.ts';
import type { Program } from '../runtime/process/program.ts';
import { decompressionError, type Unpacking } from './compression.ts';
import { decompressor } from './decompressor.ts';
import { HEAD_BYTES } from './detect.ts';

/** How the content of a file is packed: decrypted first where there is an identity. */
export interface Packing {
  readonly compression?: 'gzip' | 'zstd' | undefined;
  readonly identity?: AgeIdentity | undefined;
}

/** The programs that print the content of an open file. */
export async function unpackingOf(
  source: FileHandle,
  { compression, identity }: Packing,
  signal: AbortSignal,
): Promise<Unpacking> {
  const given = identity ? { signal } : { source, signal };
  const filters = compression ? [await decompressor(compression, given)] : [];
  return {
    filters: identity ? [ageDecrypt(source), ...filters] : filters,
    input: identity ? { feed: feedIdentity(identity) } : { stdinFd: source.fd },
    explain: (error) => {
      const known = decryptionError(error);
      return compression ? decompressionError(known, compression) : known;
    },
  };
}

/** A file and how its content is packed; neither: the file is its own content. */
export interface ContentFile {
  readonly path: string;
  readonly packed?: Packing;
}

export type ReaderOptions = Omit<PipelineOptions, 'stdinFd' | 'feed'> & {
  /** Told the open file, before anything is read. */
  readonly onOpen?: (file: FileHandle) => void;
};

/**
 * Runs programs, the first of which gets the content on its standard input: it is on no disk then.
 * Errors: as runPipeline, and what damage to the packing means (`drop/truncated`, `drop/corrupt`, …).
 */
export async function pipeContent(
  { path, packed }: ContentFile,
  readers: readonly Program[],
  { onOpen, ...options }: ReaderOptions,
): Promise<void> {
  await using file = await open(path, 'r');
  onOpen?.(file);
  if (!packed) {
    await runPipeline(readers, { ...options, stdinFd: file.fd });
    return;
  }
  const { filters, input, explain } = await unpackingOf(file, packed, options.signal);
  try {
    await runPipeline([...filters, ...readers], { ...options, ...input });
  } catch (error) {
    // Its reader has had enough: that is no damage.
    throw hasClosedPipe(error) ? error : explain(error);
  }
}

/** Whether a program failed only because its reader went away first. */
export function hasClosedPipe(error: unknown): boolean {
  return error instanceof DropbackError && error.facts['closedPipe'] === true;
}

/** The first bytes of the content. Throws as `pipeContent` does. */
export async function peekContent(file: ContentFile, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const args = ['-c', String(HEAD_BYTES)];
  const head: Program = { name: 'head', file: requireProgram('head', 'coreutils'), args };
  try {
    await pipeContent(file, [head], {
      signal,
      consume: async (stdout) => {
        for await (const chunk of stdout as AsyncIterable<Buffer>) chunks.push(chunk);
      },
    });
  } catch (error) {
    if (signal.aborted || !hasClosedPipe(error)) throw error;
  }
  return Buffer.concat(chunks);
}
