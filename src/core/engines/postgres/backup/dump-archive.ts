import { stat } from 'node:fs/promises';
import { DropbackError } from '../../../runtime/errors.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { type PipelineOptions, runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Program } from '../../../runtime/process/program.ts';
import { printedSha256 } from '../../../runtime/process/sha256.ts';
import type { DumpRequest } from '../../engine.ts';
import { connect } from '../connection.ts';
import { type DumpCommand, dumpPipeline } from './dump-command.ts';
import { DumpMessages, dumpError, isLockTimeout } from './dump-messages.ts';
import { findBlockers, lockedError } from './snapshot-blockers.ts';

export interface WrittenArchive {
  readonly bytes: number;
  readonly sha256: string;
  /** After decompression; of a packed folder, the bytes of its files. */
  readonly contentBytes: number;
  /** What pg_dump warned of. */
  readonly warnings: readonly string[];
}

/**
 * Writes the archive into the spool, which exists. Resolves only when every program has exited with 0 and pg_dump has reported no error.
 */
export async function writeArchive(
  command: DumpCommand,
  request: DumpRequest,
  signal: AbortSignal,
): Promise<WrittenArchive> {
  let contentBytes: number | undefined;
  const onStderr = (program: string, line: string) => {
    if (program === 'zstd') contentBytes ??= bytesGivenToZstd(line);
  };
  const pipeline = dumpPipeline(command, request);
  const { printed, warnings } = await runDump(pipeline, command, signal, { onStderr });
  const sealed = await writtenSpool(request.spool, printed);
  contentBytes ??= await contentSize(request.spool, signal);
  return { ...sealed, contentBytes, warnings };
}

export interface DumpRun {
  /** What the last program printed. */
  readonly printed: string;
  /** What pg_dump warned of. */
  readonly warnings: readonly string[];
}

/** Runs programs of which one is pg_dump; what it says decides too. */
export async function runDump(
  programs: readonly Program[],
  command: DumpCommand,
  signal: AbortSignal,
  { onStderr, feed }: Pick<PipelineOptions, 'onStderr' | 'feed'> = {},
): Promise<DumpRun> {
  const messages = new DumpMessages();
  let printed = '';
  try {
    await runPipeline(programs, {
      signal,
      onStderr: (program, line) => {
        if (program === 'pg_dump') messages.add(line);
        onStderr?.(program, line);
      },
      ...(feed ? { feed } : {}),
      consume: async (stdout) => {
        for await (const chunk of stdout) printed += String(chunk);
      },
    });
  } catch (error) {
    const known = dumpError(error);
    if (known.code !== 'tool/failed' || !isLockTimeout(known)) throw known;
    throw lockedError(await blockersNow(command, signal), known);
  }
  if (messages.errors.length > 0) throw reportedError(messages.errors);
  return { printed, warnings: messages.allWarnings };
}

/** Of the finished spool. `printed` is what `sha256Program` said of it on the way. */
export async function writtenSpool(
  spool: string,
  printed: string,
): Promise<Pick<WrittenArchive, 'bytes' | 'sha256'>> {
  const sha256 = printedSha256(printed);
  const { size } = await stat(spool);
  return { bytes: size, sha256 };
}

/** zstd's closing line: `/*stdin*\ : 43.83%   (3000000 B => 1315028 B, /*stdout*\)`. */
export function bytesGivenToZstd(line: string): number | undefined {
  const digits = /\((\d+) B =>/.exec(line)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Size after decompression, counted, for versions of zstd that don't tell it. */
export async function contentSize(path: string, signal: AbortSignal): Promise<number> {
  const zstd = { name: 'zstd', file: requireProgram('zstd'), args: ['-q', '-dc', '--', path] };
  const wc = { name: 'wc', file: requireProgram('wc', 'coreutils'), args: ['-c'] };
  let printed = '';
  await runPipeline([zstd, wc], {
    signal,
    consume: async (stdout) => {
      for await (const chunk of stdout) printed += String(chunk);
    },
  });
  if (!/^\s*\d+\s*$/.test(printed)) throw unexpectedOutput('wc', printed);
  return Number(printed);
}

/** The session of the snapshot may be busy counting, so this asks on one of its own. */
async function blockersNow(command: DumpCommand, signal: AbortSignal): Promise<string[]> {
  try {
    const { connection } = command;
    await using session = await connect(connection, { applicationName: 'dropback probe', signal });
    return await findBlockers(session);
  } catch {
    // Only the message is poorer without it.
    return [];
  }
}

function reportedError(errors: readonly string[]): DropbackError {
  return new DropbackError('backup/dump-failed', `${errors[0]}`, {
    hint: 'pg_dump reported errors, so its archive is not used: the report lists them.',
    facts: { errors: errors.slice(0, 20) },
  });
}

function unexpectedOutput(program: string, printed: string): DropbackError {
  return new DropbackError('tool/unexpected-output', `${program} printed something unexpected`, {
    hint: 'check that the installed program is what its name says.',
    facts: { program, printed: printed.slice(0, 200) },
  });
}
