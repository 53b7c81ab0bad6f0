import type { PostgresConnection } from '../../../config/config.ts';
import type { Logger } from '../../../observability/log.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { libpqEnvironment } from '../environment.ts';
import type { RewriteResult } from '../script/rewrite.ts';
import { runRewritten, type Script } from '../script/tool-client.ts';
import { LOAD_LIMITS } from './limits.ts';
import { loadError } from './load-error.ts';

const MOST_KEPT = 50;

export interface ScriptLoad {
  readonly script: Script;
  /** From choosePsql. */
  readonly client: PostgresClient;
  /** Always the load identity: a script is never trusted. */
  readonly identity: PostgresConnection;
  readonly database: string;
  readonly applicationName: string;
  readonly serverMajor: number;
  readonly existingSchemas: readonly string[];
  readonly settings: Readonly<Record<string, string | number>>;
  readonly log: Logger;
}

/**
 * Runs a plain script in staging through psql, rewritten so that psql obeys nothing in it. Throws
 * `drop/does-not-load`, or what the rewriting refuses.
 */
export async function loadScript(load: ScriptLoad, signal: AbortSignal): Promise<RewriteResult> {
  const errors: string[] = [];
  const program = {
    name: 'psql',
    limits: LOAD_LIMITS,
    file: clientProgram(load.client, 'psql'),
    args: ['-X', '-q', '-w', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', '-'],
    environment: {
      ...libpqEnvironment(load.identity, {
        database: load.database,
        applicationName: load.applicationName,
        settings: load.settings,
      }),
      PSQL_HISTORY: '/dev/null',
    },
  };
  const { serverMajor, existingSchemas } = load;
  try {
    const result = await runRewritten(load.script, program, {
      signal,
      serverMajor,
      existingSchemas,
      onStderr: (name, line) => {
        load.log.debug({ line }, `${name} says`);
        if (name !== 'psql' || errors.length >= MOST_KEPT) return;
        if (/ERROR:|FATAL:|PANIC:|error:/.test(line)) errors.push(line);
      },
    });
    if (errors.length === 0) return result;
  } catch (error) {
    const isFailed = error instanceof DropbackError && error.code === 'tool/failed';
    if (signal.aborted || !isFailed) throw error;
    throw loadError('psql', errors, error);
  }
  throw loadError('psql', errors);
}
