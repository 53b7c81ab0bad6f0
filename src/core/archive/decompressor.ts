import type { FileHandle } from 'node:fs/promises';
import { findProgram, requireProgram } from '../runtime/process/find-program.ts';
import { capture } from '../runtime/process/pipeline.ts';
import type { Program } from '../runtime/process/program.ts';
import { readAt } from './detect.ts';

/**
 * More than any frame needs that is unpacked here: what declares more is no reason to ask for it. Both
 * programs go on with whatever follows, in any format that they know.
 */
const LIMITS = { addressBytes: 1024 ** 3 };

export interface Decompressed {
  /** The compressed file, where it isn't encrypted besides. */
  readonly source?: FileHandle;
  readonly signal: AbortSignal;
}

/**
 * The native filter that decompresses, named after the format. Without zstd's `--long` the window of
 * a hostile frame is bounded to 128 MiB of memory.
 */
export async function decompressor(
  compression: 'gzip' | 'zstd',
  { source, signal }: Decompressed,
): Promise<Program> {
  const byZstd = compression === 'zstd' || (await isForZstd(source, signal));
  return {
    name: compression,
    file: requireProgram(byZstd ? 'zstd' : 'gzip'),
    args: byZstd ? ['-q', '-d', '-c'] : ['-d', '-c'],
    limits: LIMITS,
  };
}

/**
 * With its zlib zstd unpacks gzip twice as fast as gzip itself. But it takes zeros behind the end, as
 * tapes have them, for damage: what ends in one is left to gzip. So is all that is small, for its size
 * is what stands there.
 */
async function isForZstd(source: FileHandle | undefined, signal: AbortSignal): Promise<boolean> {
  if (!source || !findProgram('zstd')) return false;
  const { size } = await source.stat();
  const last = await readAt(source, Math.max(0, size - 1), 1);
  return last[0] !== 0 && (await zstdKnowsGzip(signal));
}

/** By path: what is installed may be replaced. */
const known = new Map<string, boolean>();

async function zstdKnowsGzip(signal: AbortSignal): Promise<boolean> {
  const file = requireProgram('zstd');
  const before = known.get(file);
  if (before !== undefined) return before;
  const said = await capture({ name: 'zstd', file, args: ['-vV'] }, { signal });
  const knows = /^\*\*\* supports:.*\bgzip\b/m.test(said);
  known.set(file, knows);
  return knows;
}
