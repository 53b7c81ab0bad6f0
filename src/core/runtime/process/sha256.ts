import { constants, open } from 'node:fs/promises';
import { DropbackError } from '../errors.ts';
import { findProgram, requireProgram } from './find-program.ts';
import { type PipelineOptions, runPipeline } from './pipeline.ts';
import type { Program } from './program.ts';

/**
 * Prints the digest of its input. OpenSSL's hashes with the processor's own instructions, three
 * times as fast as a coreutils that isn't linked with it (Debian 12's).
 */
export function sha256Program(nice?: number): Program {
  const extra = nice === undefined ? {} : { nice };
  const openssl = findProgram('openssl');
  if (openssl) {
    return { name: 'openssl', file: openssl, args: ['dgst', '-sha256', '-r'], ...extra };
  }
  const file = requireProgram('sha256sum', 'coreutils');
  return { name: 'sha256sum', file, args: [], ...extra };
}

/** The digest in what `sha256Program` has printed, hex. Throws `tool/unexpected-output`. */
export function printedSha256(printed: string): string {
  const digest = /^([0-9a-f]{64})\s/.exec(printed)?.[1];
  if (digest) return digest;
  throw new DropbackError('tool/unexpected-output', 'no checksum was printed', {
    hint: 'check that the installed openssl, or sha256sum, is what its name says.',
    facts: { printed: printed.slice(0, 200) },
  });
}

/** Of what `programs`, or the descriptor, print; hex. Errors: as `runPipeline` and `printedSha256`. */
export async function sha256Of(
  programs: readonly Program[],
  options: Omit<PipelineOptions, 'consume' | 'stdoutFd'>,
): Promise<string> {
  let printed = '';
  await runPipeline([...programs, sha256Program()], {
    ...options,
    consume: async (stdout) => {
      for await (const chunk of stdout) printed += String(chunk);
    },
  });
  return printedSha256(printed);
}

/** Of a file of ours, which is no link; hex. The bytes don't go through Node. */
export async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  return await sha256Of([], { signal, stdinFd: file.fd });
}
