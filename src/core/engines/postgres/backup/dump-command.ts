import type { PostgresConnection } from '../../../config/config.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import type { Program } from '../../../runtime/process/program.ts';
import type { DumpRequest } from '../../engine.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { libpqEnvironment } from '../environment.ts';

export interface DumpCommand {
  readonly connection: PostgresConnection;
  readonly client: PostgresClient;
  readonly serverMajor: number;
  readonly snapshot: string;
  readonly lockWaitMs: number;
  /** A standby can't read unlogged tables: their rows are left out. */
  readonly skipUnlogged: boolean;
}

/**
 * `pg_dump | zstd | tee SPOOL | sha256sum`: compressed by a program of its own, which is faster than
 * pg_dump's built-in way, and hashed before it can be damaged on the disk.
 */
export function dumpPipeline(command: DumpCommand, request: DumpRequest): Program[] {
  const { nice } = request;
  const filters: Program[] = [
    {
      name: 'zstd',
      file: requireProgram('zstd'),
      // -vv alone tells the exact number of bytes that went in.
      args: ['-vv', '--no-progress', '-T0', ...levelOf(request.compressionLevel), '--check', '-c'],
      nice,
    },
    {
      name: 'tee',
      file: requireProgram('tee', 'coreutils'),
      args: ['--output-error=exit', request.spool],
      nice,
    },
    { name: 'sha256sum', file: requireProgram('sha256sum', 'coreutils'), args: [], nice },
  ];
  return [pgDump(command, request), ...filters];
}

function pgDump(command: DumpCommand, request: DumpRequest): Program {
  const args = [
    '--format=custom',
    '--compress=0',
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
    environment: libpqEnvironment(command.connection, { applicationName: 'dropback pg_dump' }),
    nice: request.nice,
  };
}

function levelOf(level: number): string[] {
  return level > 19 ? ['--ultra', `-${level}`] : [`-${level}`];
}
