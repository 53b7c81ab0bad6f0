import { constants, open } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { partialFolderOf } from '../../../archive/archive-name.ts';
import { unpackTar } from '../../../archive/unpack-tar.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { type PipelineOptions, runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Program } from '../../../runtime/process/program.ts';
import type { Dump } from '../../engine.ts';
import { chooseClient, clientProgram, type PostgresClient, parseVersion } from '../clients.ts';
import { contentSize } from './dump-archive.ts';
import { dumpError } from './dump-messages.ts';
import { removeFolder } from './dump-parallel.ts';
import type { ArchiveCount } from './read-back-scanner.ts';

export interface ArchiveScan extends ArchiveCount {
  readonly contentBytes: number;
}

/**
 * Reads an archive whole: pg_restore prints it as text, which `read-back-counter.ts` counts and
 * throws away. Throws `archive/unreadable` when any of it can't be read to the end.
 */
export async function scanArchive(
  path: string,
  dump: Pick<Dump, 'tool' | 'database' | 'archive'>,
  signal: AbortSignal,
): Promise<ArchiveScan> {
  const [archiveMajor] = parseVersion(dump.tool.version);
  const [serverMajor] = parseVersion(dump.database.version);
  const client = await chooseClient({ serverMajor, archiveMajor }, signal);
  const isPacked = dump.archive.format === 'postgres-directory';
  try {
    return await (isPacked ? scanPacked : scanStream)(path, client, signal);
  } catch (error) {
    throw signal.aborted ? error : unreadable(path, error);
  }
}

/** `zstd -d | pg_restore`. */
async function scanStream(
  path: string,
  client: PostgresClient,
  signal: AbortSignal,
): Promise<ArchiveScan> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { contentBytes, ...counted } = await countCompressed([], client, {
    signal,
    stdinFd: file.fd,
  });
  return { ...counted, contentBytes: contentBytes ?? (await contentSize(path, signal)) };
}

/** The same of a stream that passes by: `source` prints the compressed archive. */
export async function scanWitnessed(
  source: Program,
  client: PostgresClient,
  signal: AbortSignal,
): Promise<StreamCount> {
  try {
    return await countCompressed([source], client, { signal });
  } catch (error) {
    throw signal.aborted ? error : unreadable('the stream', error);
  }
}

/** Not every version of zstd tells how many bytes it has printed. */
type StreamCount = ArchiveCount & { readonly contentBytes?: number };

async function countCompressed(
  source: readonly Program[],
  client: PostgresClient,
  options: Pick<PipelineOptions, 'signal' | 'stdinFd'>,
): Promise<StreamCount> {
  let contentBytes: number | undefined;
  const zstd: Program = {
    name: 'zstd',
    file: requireProgram('zstd'),
    args: ['-v', '--no-progress', '-dc'],
  };
  const counted = await countIn([...source, zstd, pgRestore(client)], {
    ...options,
    onStderr: (program, line) => {
      if (program === 'zstd') contentBytes ??= bytesFromZstd(line);
    },
  });
  return { ...counted, ...(contentBytes === undefined ? {} : { contentBytes }) };
}

/** pg_restore reads a directory from a folder alone: the tar is unpacked beside itself. */
async function scanPacked(
  path: string,
  client: PostgresClient,
  signal: AbortSignal,
): Promise<ArchiveScan> {
  const work = partialFolderOf(path);
  try {
    const { folder, contentBytes } = await unpackTar(path, work, signal);
    const counted = await countIn([pgRestore(client, ['--', folder])], { signal });
    return { ...counted, contentBytes };
  } finally {
    await removeFolder(work);
  }
}

async function countIn(
  programs: readonly Program[],
  options: Pick<PipelineOptions, 'signal' | 'stdinFd' | 'onStderr'>,
): Promise<ArchiveCount> {
  let printed = '';
  await runPipeline([...programs, rowCounter()], {
    ...options,
    consume: async (stdout) => {
      printed = await text(stdout);
    },
  });
  return JSON.parse(printed) as ArchiveCount;
}

function pgRestore(client: PostgresClient, source: readonly string[] = []): Program {
  const file = clientProgram(client, 'pg_restore');
  return { name: 'pg_restore', file, args: ['--data-only', '--file=-', ...source] };
}

/** The sources are run as .ts, the built ones as .js. */
export function rowCounter(): Program {
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
  const cause = dumpError(error);
  if (cause.code.startsWith('tool/n') || cause.code.startsWith('disk/')) return cause;
  if (cause.code === 'drop/too-large') {
    return new DropbackError('disk/full', `no space left to read ${path} back`, {
      hint: 'free space on the volume of BACKUP_DIR, make it larger, or keep fewer backups.',
      facts: cause.facts,
      cause: error,
    });
  }
  return new DropbackError('archive/unreadable', `the archive can't be read: ${cause.message}`, {
    hint: 'the volume or the memory may be faulty; the archive is not used. Run the backup again.',
    facts: { ...cause.facts, path },
    cause: error,
  });
}
