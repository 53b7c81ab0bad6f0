import { constants, open } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { DropbackError, toDropbackError } from '../../../runtime/errors.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Program } from '../../../runtime/process/program.ts';
import type { Dump } from '../../engine.ts';
import { chooseClient, clientProgram, parseVersion } from '../clients.ts';
import { contentSize } from './dump-archive.ts';
import type { ArchiveCount } from './read-back-scanner.ts';

export interface ArchiveScan extends ArchiveCount {
  readonly contentBytes: number;
}

/**
 * Reads an archive whole: `zstd -d | pg_restore` as text, which `read-back-counter.ts` counts and
 * throws away. Throws `archive/unreadable` when any of it can't be read to the end.
 */
export async function scanArchive(
  path: string,
  dump: Pick<Dump, 'tool' | 'database'>,
  signal: AbortSignal,
): Promise<ArchiveScan> {
  const [archiveMajor] = parseVersion(dump.tool.version);
  const [serverMajor] = parseVersion(dump.database.version);
  const client = await chooseClient({ serverMajor, archiveMajor }, signal);
  let printed = '';
  let contentBytes: number | undefined;
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await runPipeline(
      [
        { name: 'zstd', file: requireProgram('zstd'), args: ['-v', '--no-progress', '-dc'] },
        {
          name: 'pg_restore',
          file: clientProgram(client, 'pg_restore'),
          args: ['--data-only', '--file=-'],
        },
        counter(),
      ],
      {
        signal,
        stdinFd: file.fd,
        onStderr: (program, line) => {
          if (program === 'zstd') contentBytes ??= bytesFromZstd(line);
        },
        consume: async (stdout) => {
          printed = await text(stdout);
        },
      },
    );
    const counted = JSON.parse(printed) as ArchiveCount;
    contentBytes ??= await contentSize(path, signal);
    return { ...counted, contentBytes };
  } catch (error) {
    throw signal.aborted ? error : unreadable(path, error);
  }
}

/** The sources are run as .ts, the built ones as .js. */
function counter(): Program {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const script = fileURLToPath(new URL(`./read-back-counter.${extension}`, import.meta.url));
  return {
    name: 'row counter',
    file: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', script],
  };
}

/** zstd's closing line: `/*stdin*\ : 3000000 bytes`. */
function bytesFromZstd(line: string): number | undefined {
  const digits = /: (\d+) bytes\s*$/.exec(line)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function unreadable(path: string, error: unknown): DropbackError {
  const cause = toDropbackError(error);
  if (cause.code.startsWith('tool/n') || cause.code.startsWith('disk/')) return cause;
  return new DropbackError('archive/unreadable', `the archive can't be read: ${cause.message}`, {
    hint: 'the volume or the memory may be faulty; the archive is not used. Run the backup again.',
    facts: { ...cause.facts, path },
    cause: error,
  });
}
