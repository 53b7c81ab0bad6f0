import { createReadStream, createWriteStream } from 'node:fs';
import { constants, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { partialFolderOf } from '../../../archive/archive-name.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { type PipelineOptions, runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Program } from '../../../runtime/process/program.ts';
import type { Dump } from '../../engine.ts';
import { chooseClient, clientProgram, type PostgresClient, parseVersion } from '../clients.ts';
import { contentSize } from './dump-archive.ts';
import { dumpError } from './dump-messages.ts';
import { removeFolder } from './dump-parallel.ts';
import type { PackedCount } from './packed-count.ts';
import type { ArchiveCount } from './read-back-scanner.ts';

export interface ArchiveScan extends ArchiveCount {
  readonly contentBytes: number;
}

/** Whose streams are read without pg_restore's printing them: 12 to 18 write formats 1.14 to 1.16. */
const NEWEST_KNOWN_MAJOR = 18;

/**
 * Reads an archive whole: a stream by `stream-counter.ts`, a tar by `packed-counter.ts`. Throws
 * `archive/unreadable` when any of it can't be read to the end.
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
    if (isPacked) return await scanPacked(path, client, signal);
    return await scanStream(path, streamReader(client, archiveMajor), signal);
  } catch (error) {
    throw signal.aborted ? error : unreadable(path, error);
  }
}

async function scanStream(
  path: string,
  reader: readonly Program[],
  signal: AbortSignal,
): Promise<ArchiveScan> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { contentBytes, ...counted } = await countCompressed([], reader, {
    signal,
    stdinFd: file.fd,
  });
  return { ...counted, contentBytes: contentBytes ?? (await contentSize(path, signal)) };
}

/** The same of a stream that passes by: `source` prints the compressed archive of a pg_dump of that major. */
export async function scanWitnessed(
  source: Program,
  client: PostgresClient,
  archiveMajor: number,
  signal: AbortSignal,
): Promise<StreamCount> {
  try {
    return await countCompressed([source], streamReader(client, archiveMajor), { signal });
  } catch (error) {
    throw signal.aborted ? error : unreadable('the stream', error);
  }
}

/** Not every version of zstd tells how many bytes it has printed. */
type StreamCount = ArchiveCount & { readonly contentBytes?: number };

/** Of a version that isn't known, pg_restore prints all rows as text, and the lines of that are counted. */
function streamReader(client: PostgresClient, archiveMajor: number): Program[] {
  if (archiveMajor > NEWEST_KNOWN_MAJOR) {
    return [pgRestore(client, ['--data-only', '--file=-']), rowCounter()];
  }
  return [helper('stream-counter', [clientProgram(client, 'pg_restore')])];
}

async function countCompressed(
  source: readonly Program[],
  reader: readonly Program[],
  options: Pick<PipelineOptions, 'signal' | 'stdinFd'>,
): Promise<StreamCount> {
  let contentBytes: number | undefined;
  const zstd: Program = {
    name: 'zstd',
    file: requireProgram('zstd'),
    args: ['-v', '--no-progress', '-dc'],
  };
  const counted = await printedBy<StreamCount>([...source, zstd, ...reader], {
    ...options,
    onStderr: (program, line) => {
      if (program === 'zstd') contentBytes ??= bytesFromZstd(line);
    },
  });
  return { ...(contentBytes === undefined ? {} : { contentBytes }), ...counted };
}

/**
 * Each file of the tar is read where it lies, several at once, with nothing unpacked. pg_restore is
 * shown the table of contents, the one part that the rest can't be read without.
 */
async function scanPacked(
  path: string,
  client: PostgresClient,
  signal: AbortSignal,
): Promise<ArchiveScan> {
  const { toc, ...counted } = await printedBy<PackedCount>([helper('packed-counter', [path])], {
    signal,
  });
  const work = partialFolderOf(path);
  try {
    await mkdir(work, { mode: 0o700 });
    await copySlice(path, toc, join(work, 'toc.dat'));
    await runPipeline([pgRestore(client, ['--list', '--file=/dev/null', '--', work])], { signal });
    return counted;
  } finally {
    await removeFolder(work);
  }
}

async function copySlice(
  path: string,
  { start, end }: PackedCount['toc'],
  destination: string,
): Promise<void> {
  // The last byte counts in.
  const source = createReadStream(path, { start, end: end - 1 });
  await pipeline(source, createWriteStream(destination, { flags: 'wx', mode: 0o600 }));
}

async function printedBy<Result>(
  programs: readonly Program[],
  options: Pick<PipelineOptions, 'signal' | 'stdinFd' | 'onStderr'>,
): Promise<Result> {
  let printed = '';
  await runPipeline(programs, {
    ...options,
    consume: async (stdout) => {
      printed = await text(stdout);
    },
  });
  return JSON.parse(printed) as Result;
}

function pgRestore(client: PostgresClient, args: readonly string[]): Program {
  return { name: 'pg_restore', file: clientProgram(client, 'pg_restore'), args };
}

export function rowCounter(): Program {
  return { ...helper('read-back-counter'), name: 'row counter' };
}

/** The sources are run as .ts, the built ones as .js. */
function helper(script: string, args: readonly string[] = []): Program {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const path = fileURLToPath(new URL(`./${script}.${extension}`, import.meta.url));
  return {
    name: script,
    file: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', path, ...args],
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
  return new DropbackError('archive/unreadable', `the archive can't be read: ${cause.message}`, {
    hint: 'the volume or the memory may be faulty; the archive is not used. Run the backup again.',
    facts: { ...cause.facts, path },
    cause: error,
  });
}
