import { createReadStream } from 'node:fs';
import type { PostgresConnection } from '../../../config/config.ts';
import type { Logger } from '../../../observability/log.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { runPipeline } from '../../../runtime/process/pipeline.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { libpqEnvironment } from '../environment.ts';
import { type RewriteResult, rewriteScript } from '../script/rewrite.ts';
import { LOAD_LIMITS } from './limits.ts';
import { loadError } from './load-error.ts';

/** Small: what the collector leaves lying for a while is what the daemon grows by. */
const CHUNK_BYTES = 64 * 1024;
const MOST_KEPT = 50;

export interface ScriptLoad {
  readonly path: string;
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
  let result: RewriteResult | undefined;
  try {
    await runPipeline([program], {
      signal,
      feed: async (stdin) => {
        const input = createReadStream(load.path, { highWaterMark: CHUNK_BYTES, signal });
        result = await rewriteScript(input as AsyncIterable<Buffer>, stdin, {
          signal,
          serverMajor: load.serverMajor,
          existingSchemas: load.existingSchemas,
        });
      },
      onStderr: (_name, line) => {
        if (/ERROR:|FATAL:|PANIC:|error:/.test(line) && errors.length < MOST_KEPT)
          errors.push(line);
        load.log.debug({ line }, 'psql says');
      },
    });
  } catch (error) {
    // When psql ends at an error, our next write into its closed input may be what is noticed first.
    const isClosed = (error as NodeJS.ErrnoException | null)?.code === 'EPIPE';
    const isFailed = error instanceof DropbackError && error.code === 'tool/failed';
    if (signal.aborted || !(isClosed || isFailed)) throw error;
    throw loadError('psql', errors, error);
  }
  if (!result || errors.length > 0) throw loadError('psql', errors);
  return result;
}
