import { DropbackError } from '../runtime/errors.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import type { Program } from '../runtime/process/program.ts';
import { printedSha256, sha256OfFile, sha256Program } from '../runtime/process/sha256.ts';
import type { Manifest } from './manifest.ts';
import { type ContentFile, pipeContent } from './packed-content.ts';
import type { UnpackedDrop } from './unpacked.ts';

/**
 * Reads an archive of ours and what `unpack` has made of it, whole, once more. Throws where the two are
 * not the same (`verify/unpacked-differs`; `tool/failed` of tar), or either can't be read.
 */
export async function requireAsInArchive(
  path: string,
  { archive: { compression } }: Manifest,
  drop: UnpackedDrop,
  signal: AbortSignal,
): Promise<void> {
  if (drop.path === path) return;
  const file = compression === 'none' ? { path } : { path, packed: { compression } };
  if (drop.format === 'postgres-directory') return await compareFolder(file, drop, signal);
  let printed = '';
  await pipeContent(file, [sha256Program()], {
    signal,
    consume: async (stdout) => {
      for await (const chunk of stdout) printed += String(chunk);
    },
  });
  const expected = printedSha256(printed);
  const found = await sha256OfFile(drop.path, signal);
  if (found === expected) return;
  throw new DropbackError('verify/unpacked-differs', 'the unpacked file has another checksum', {
    hint: 'look at the volume where it was unpacked.',
    facts: { expected, found },
  });
}

/** tar fails where any of the comparisons does. The names were judged when it was unpacked. */
async function compareFolder(
  file: ContentFile,
  { path }: UnpackedDrop,
  signal: AbortSignal,
): Promise<void> {
  const compare = `exec ${requireProgram('cmp', 'diffutils')} - "$TAR_FILENAME"`;
  const args = ['--extract', '--file=-', `--to-command=${compare}`];
  const tar: Program = { name: 'tar', file: requireProgram('tar'), args, cwd: path };
  await pipeContent(file, [tar], { signal });
}
