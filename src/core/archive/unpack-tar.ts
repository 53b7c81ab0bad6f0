import { lstat, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DropbackError } from '../runtime/errors.ts';
import { requireProgram } from '../runtime/process/find-program.ts';
import { runPipeline } from '../runtime/process/pipeline.ts';
import type { Program } from '../runtime/process/program.ts';
import { sha256Of } from '../runtime/process/sha256.ts';
import { witnessed } from '../runtime/process/witness.ts';
import { type ContentLimits, contentLimits } from './compression.ts';
import { changedAfterClaim } from './own-copy.ts';
import { listTar, type TarListing } from './tar.ts';

export interface UnpackedTar {
  /** The folder that holds toc.dat. */
  readonly folder: string;
  readonly contentBytes: number;
}

/**
 * Extracts the tar of a directory-format dump into the new folder `destination`: listed and judged
 * before, compared with the listing afterwards. `sha256`, hex: what was extracted has to have it, whatever
 * the file has become meanwhile. Errors: as `listTar`, `drop/too-large` and `drop/changed-after-claim`.
 */
export async function unpackTar(
  path: string,
  destination: string,
  signal: AbortSignal,
  sha256?: string,
): Promise<UnpackedTar> {
  const listing = await listTar(path, signal);
  await mkdir(destination, { mode: 0o700 });
  requireRoom(listing, await contentLimits(destination, listing.totalBytes));
  await using tar = await open(path, 'r');
  if (sha256 === undefined) {
    await runPipeline([extractor(destination)], { signal, stdinFd: tar.fd });
  } else if ((await extractHashed(tar.fd, destination, signal)) !== sha256) {
    throw changedAfterClaim();
  }
  const folder = join(destination, listing.folder);
  await requireAsListed(destination, listing);
  return { folder, contentBytes: listing.totalBytes };
}

/** The sha256 of the very bytes that tar was given, hex. */
async function extractHashed(
  stdinFd: number,
  destination: string,
  signal: AbortSignal,
): Promise<string> {
  const [, digest] = await witnessed(
    signal,
    async (fifo, joint) => {
      const tee = { name: 'tee', file: requireProgram('tee', 'coreutils'), args: ['--', fifo] };
      await runPipeline([tee, extractor(destination)], { signal: joint, stdinFd });
    },
    (source, joint) => sha256Of([source], { signal: joint }),
  );
  return digest;
}

function extractor(destination: string): Program {
  const args = ['--extract', '--file=-', `--directory=${destination}`, '--no-same-owner'];
  args.push('--no-same-permissions', '--keep-old-files', '--touch');
  return { name: 'tar', file: requireProgram('tar'), args };
}

function requireRoom(listing: TarListing, limits: ContentLimits): void {
  if (listing.totalBytes <= limits.mostBytes) return;
  throw new DropbackError(
    'drop/too-large',
    `the content of the tar takes ${listing.totalBytes} bytes, more than ${limits.because}`,
    { hint: 'make room on the volume of the drop folder.', facts: { bytes: listing.totalBytes } },
  );
}

/** Whatever tar made of the archive must be exactly what was judged. */
async function requireAsListed(destination: string, listing: TarListing): Promise<void> {
  const expected = new Map(listing.members.map(({ name, bytes }) => [name, bytes]));
  for (const entry of await readdir(destination, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) continue;
    const name = path.slice(destination.length + 1);
    const found = await lstat(path);
    if (!found.isFile() || found.nlink !== 1 || expected.get(name) !== found.size) {
      throw changed(name);
    }
    expected.delete(name);
  }
  const [missing] = expected.keys();
  if (missing !== undefined) throw changed(missing);
}

function changed(name: string): DropbackError {
  return new DropbackError(
    'drop/unsafe-tar',
    `the extracted file ${JSON.stringify(name)} is not what the tar's headers say`,
    { hint: 'make the tar again from a dump in the directory format.' },
  );
}
