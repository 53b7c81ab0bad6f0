import { open } from 'node:fs/promises';
import { DropbackError } from '../../core/runtime/errors.ts';
import { requireProgram } from '../../core/runtime/process/find-program.ts';
import { runPipeline } from '../../core/runtime/process/pipeline.ts';

/** sha256 of a file of ours, hex. The bytes go through the native program, not through Node. */
export async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  await using file = await open(path, 'r');
  const program = {
    name: 'sha256sum',
    file: requireProgram('sha256sum', 'coreutils'),
    args: [] as string[],
  };
  let printed = '';
  await runPipeline([program], {
    signal,
    stdinFd: file.fd,
    consume: async (stdout) => {
      for await (const chunk of stdout) printed += String(chunk);
    },
  });
  const sha256 = printed.slice(0, 64);
  if (/^[0-9a-f]{64}$/.test(sha256)) return sha256;
  throw new DropbackError('tool/unexpected-output', 'sha256sum printed no checksum', {
    hint: 'check that the installed sha256sum is the one of coreutils.',
  });
}
