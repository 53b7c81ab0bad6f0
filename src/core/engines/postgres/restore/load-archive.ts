import type { PostgresConnection } from '../../../config/config.ts';
import type { Logger } from '../../../observability/log.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { runPipeline } from '../../../runtime/process/pipeline.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { libpqEnvironment } from '../environment.ts';
import type { EntryErrors } from './entry-errors.ts';
import { LOAD_LIMITS } from './limits.ts';
import { loadError } from './load-error.ts';
import { RestoreMessages } from './restore-messages.ts';

export interface ArchiveLoad {
  /** Custom archive, or folder of the directory format. */
  readonly path: string;
  /** File for `--use-list`: the entries to restore. */
  readonly listFile: string;
  readonly client: PostgresClient;
  /** Who loads. */
  readonly identity: PostgresConnection;
  readonly database: string;
  readonly applicationName: string;
  readonly jobs: number;
  /** Owners and ACLs as the archive has them: for our own backups, loaded by control. */
  readonly exact: boolean;
  readonly tablespaces: boolean;
  /** The archive sets transaction_timeout, which this server doesn't know. */
  readonly tolerateTransactionTimeout: boolean;
  readonly settings: Readonly<Record<string, string | number>>;
  /** `pre-data`, `data`, `post-data`. Default: all. */
  readonly sections?: readonly string[];
  /** Errors of single entries don't end the load: they are put in here, for the caller to judge. */
  readonly entryErrors?: EntryErrors;
  readonly log: Logger;
}

/** Runs pg_restore into staging. Returns its warnings; throws `restore/load-failed` and the like. */
export async function loadArchive(load: ArchiveLoad, signal: AbortSignal): Promise<string[]> {
  const messages = new RestoreMessages();
  const { entryErrors } = load;
  const goesOn = load.tolerateTransactionTimeout || entryErrors !== undefined;
  const program = {
    name: 'pg_restore',
    ...(load.exact ? {} : { limits: LOAD_LIMITS }),
    file: clientProgram(load.client, 'pg_restore'),
    args: restoreArguments(load),
    forks: load.jobs > 1,
    environment: libpqEnvironment(load.identity, {
      database: load.database,
      applicationName: load.applicationName,
      settings: load.settings,
    }),
    successCodes: goesOn ? [0, 1] : [0],
  };
  const onStderr = (_name: string, line: string) => {
    messages.push(line);
    entryErrors?.push(line);
    load.log.debug({ line }, 'pg_restore says');
  };
  try {
    const [outcome] = await runPipeline([program], { signal, onStderr });
    messages.end();
    const isExplained = entryErrors ? entryErrors.isWhole : messages.onlyTolerated;
    const failed = outcome?.exitCode !== 0 && !isExplained;
    if (failed || (!entryErrors && messages.errors.length > 0))
      throw loadError('pg_restore', messages.errors);
  } catch (error) {
    messages.end();
    if (!(error instanceof DropbackError) || error.code !== 'tool/failed') throw error;
    throw loadError('pg_restore', messages.errors, error);
  }
  return messages.warnings;
}

function restoreArguments(load: ArchiveLoad): string[] {
  const args = ['--no-password', `--dbname=${load.database}`, `--jobs=${load.jobs}`];
  args.push(`--use-list=${load.listFile}`);
  if (!load.exact) args.push('--no-owner', '--no-acl', '--no-security-labels');
  if (!load.tablespaces) args.push('--no-tablespaces');
  for (const section of load.sections ?? []) args.push(`--section=${section}`);
  if (load.entryErrors) args.push('--verbose');
  else if (!load.tolerateTransactionTimeout) args.push('--exit-on-error');
  return [...args, '--', load.path];
}
