import type { PostgresConnection } from '../../../config/config.ts';
import { ageEncrypt } from '../../../encryption/age-encrypt.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import type { Program } from '../../../runtime/process/program.ts';
import { sha256Program } from '../../../runtime/process/sha256.ts';
import type { DumpRequest } from '../../engine.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { libpqEnvironment } from '../environment.ts';
import { isProgressOfDump } from './dump-messages.ts';

/** From the first statement on; pg_dump sets them itself, but only after its first ones. */
const UNHURRIED = { statement_timeout: 0, idle_in_transaction_session_timeout: 0 } as const;

/** The name of pg_dump's sessions. */
export const PG_DUMP = 'dropback pg_dump';

export interface DumpCommand {
  readonly connection: PostgresConnection;
  readonly client: PostgresClient;
  readonly serverMajor: number;
  readonly snapshot: string;
  readonly snapshotAt: Date;
  readonly lockWaitMs: number;
  /** A standby can't read unlogged tables: their rows are left out. */
  readonly skipUnlogged: boolean;
}

/**
 * `pg_dump | zstd | tee SPOOL | openssl dgst -sha256`: compressed by a program of its own, which is faster than
 * pg_dump's built-in way, and hashed before it can be damaged on the disk.
 */
export function dumpPipeline(command: DumpCommand, request: DumpRequest): Program[] {
  return [...compressedDump(command, request), ...intoSpool(request)];
}

/**
 * `pg_dump | zstd | tee FIFO | age | tee SPOOL | openssl dgst -sha256`: what goes into the encryption is read
 * from the FIFO, beside it.
 */
export function encryptedPipeline(
  command: DumpCommand,
  request: DumpRequest,
  { fifo, recipients }: { readonly fifo: string; readonly recipients: readonly string[] },
): Program[] {
  const { nice } = request;
  return [
    ...compressedDump(command, request),
    teeInto(fifo, nice),
    ageEncrypt(recipients, { nice }),
    ...intoSpool(request),
  ];
}

function compressedDump(command: DumpCommand, request: DumpRequest): Program[] {
  const zstd: Program = {
    name: 'zstd',
    file: requireProgram('zstd'),
    // -vv alone tells the exact number of bytes that went in.
    args: ['-vv', '--no-progress', '-T0', ...levelOf(request.compressionLevel), '--check', '-c'],
    nice: request.nice,
  };
  const format = ['--format=custom', '--compress=0'];
  return [pgDump(command, request, format), zstd];
}

export interface ParallelDump {
  /** Exists and is empty. */
  readonly folder: string;
  readonly jobs: number;
  /** As pg_dump's `--compress` takes it. */
  readonly compression: string;
}

/** Into a folder. It is thrown away once it is packed, so that nothing in it has to be durable. */
export function parallelDump(
  command: DumpCommand,
  request: DumpRequest,
  { folder, jobs, compression }: ParallelDump,
): Program {
  const parallel = [`--jobs=${jobs}`, '--no-sync', `--file=${folder}`];
  const form = ['--format=directory', `--compress=${compression}`, ...parallel];
  if (jobs === 1) return pgDump(command, request, form);
  // --verbose tells which files are done.
  const told = pgDump(command, request, [...form, '--verbose']);
  return { ...told, forks: true, isProgress: isProgressOfDump };
}

/**
 * Files of the folder, as their names come in, into that file; `-` prints them. The same bytes of the
 * same files each time: all are as old as `at`, since a volume may tell of a file that was just written
 * two times, one after the other.
 */
export function pack(folder: string, into: string, at: Date, { nice }: DumpRequest): Program {
  return {
    name: 'tar',
    file: requireProgram('tar'),
    // GNU's format holds files of every size without extended headers.
    args: [
      '--create',
      `--file=${into}`,
      '--format=gnu',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      `--mtime=@${Math.floor(at.getTime() / 1000)}`,
      `--directory=${folder}`,
      '--no-recursion',
      '--null',
      '--verbatim-files-from',
      '--files-from=-',
    ],
    nice,
  };
}

function intoSpool({ spool, nice }: DumpRequest): Program[] {
  return [teeInto(spool, nice), sha256Program(nice)];
}

function teeInto(path: string, nice: number): Program {
  const args = ['--output-error=exit', '--', path];
  return { name: 'tee', file: requireProgram('tee', 'coreutils'), args, nice };
}

function pgDump(command: DumpCommand, request: DumpRequest, form: readonly string[]): Program {
  const args = [
    ...form,
    '--no-password',
    `--snapshot=${command.snapshot}`,
    `--lock-wait-timeout=${command.lockWaitMs}`,
    ...request.excludeTableData.map((pattern) => `--exclude-table-data=${pattern}`),
  ];
  if (command.skipUnlogged) args.push('--no-unlogged-table-data');
  // Words that are reserved in one of the two versions alone.
  if (command.client.major !== command.serverMajor) args.push('--quote-all-identifiers');
  return {
    name: 'pg_dump',
    file: clientProgram(command.client, 'pg_dump'),
    args,
    environment: libpqEnvironment(command.connection, {
      applicationName: PG_DUMP,
      settings: UNHURRIED,
    }),
    nice: request.nice,
  };
}

function levelOf(level: number): string[] {
  return level > 19 ? ['--ultra', `-${level}`] : [`-${level}`];
}
