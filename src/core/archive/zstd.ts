import { findProgram, requireProgram } from '../runtime/process/find-program.ts';
import type { Program } from '../runtime/process/program.ts';

/**
 * zstd as a filter from standard input to standard output; frames carry a checksum. The native
 * program alone: Node's own decompressor was seen to accept a damaged second frame.
 */
export function zstdCompress(level: number, extra: Partial<Program> = {}): Program {
  const args = ['-q', '-c', '-T0', `-${level}`, '--check'];
  return { name: 'zstd', file: requireProgram('zstd'), args, ...extra };
}

/** The reverse; fails on a truncated or damaged stream and on trailing garbage. */
export function zstdDecompress(): Program {
  return { name: 'zstd', file: requireProgram('zstd'), args: ['-q', '-d', '-c', '--long=31'] };
}

/** Without the program, SQLite archives are written uncompressed, with a warning. */
export function hasZstd(): boolean {
  return findProgram('zstd') !== undefined;
}
