import { pipeContent } from '../../src/core/archive/packed-content.ts';
import type { UnpackedDrop } from '../../src/core/archive/unpacked.ts';
import { requireProgram } from '../../src/core/runtime/process/find-program.ts';

/** What a drop holds, as text. */
export async function contentOf(drop: UnpackedDrop): Promise<string> {
  const chunks: Buffer[] = [];
  await pipeContent(drop, [{ name: 'cat', file: requireProgram('cat'), args: [] }], {
    signal: new AbortController().signal,
    consume: async (stdout) => {
      for await (const chunk of stdout as AsyncIterable<Buffer>) chunks.push(chunk);
    },
  });
  return Buffer.concat(chunks).toString();
}
