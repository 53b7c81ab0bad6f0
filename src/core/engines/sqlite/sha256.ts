import type { Readable } from 'node:stream';
import { DropbackError } from '../../runtime/errors.ts';
import { requireProgram } from '../../runtime/process/find-program.ts';
import { type PipelineOptions, runPipeline } from '../../runtime/process/pipeline.ts';
import type { Program } from '../../runtime/process/program.ts';

/** Runs `programs | sha256sum` and returns the digest, hex. */
export async function sha256Of(
  programs: readonly Program[],
  options: Omit<PipelineOptions, 'consume' | 'stdoutFd'>,
): Promise<string> {
  let printed = '';
  const sum: Program = {
    name: 'sha256sum',
    file: requireProgram('sha256sum', 'coreutils'),
    args: [],
  };
  await runPipeline([...programs, sum], {
    ...options,
    consume: async (stdout: Readable) => {
      for await (const chunk of stdout) printed += String(chunk);
    },
  });
  const digest = /^([0-9a-f]{64})\s/.exec(printed)?.[1];
  if (digest) return digest;
  throw new DropbackError('tool/unexpected-output', 'sha256sum printed no digest', {
    hint: 'check that the installed program is what its name says.',
  });
}
