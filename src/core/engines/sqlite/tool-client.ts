import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { runPipeline } from '../../runtime/process/pipeline.ts';
import type { Program, ProgramLimits, UserIdentity } from '../../runtime/process/program.ts';
import { TOLD_ERROR, toldError } from '../../runtime/process/told-error.ts';
import type { Message, OperationName, Operations } from './protocol.ts';

/** Where Node and the tool's script lie; only tests use others than the daemon's own. */
export interface ToolInstallation {
  readonly node: string;
  readonly script: string;
}

export interface AskOptions {
  readonly signal: AbortSignal;
  readonly runAs?: UserIdentity | undefined;
  readonly onProgress?: (fraction: number) => void;
  readonly nice?: number;
  /** For operations on what nobody vouches for. */
  readonly limits?: ProgramLimits;
  /** Where SQLite may put temporary files; the system's own folder may be small. */
  readonly temporaryFolder?: string;
}

/** Starts `tool.ts`, the process in which all SQLite work happens. */
export class SqliteTool {
  readonly #installation: ToolInstallation;

  constructor(installation: ToolInstallation = ownInstallation()) {
    this.#installation = installation;
  }

  /** Asks one thing. Rejects with the tool's own DropbackError, or as runPipeline does. */
  async ask<K extends OperationName>(
    operation: K,
    request: Operations[K]['request'],
    options: AskOptions,
  ): Promise<Operations[K]['answer']> {
    let last: Message<K> | undefined;
    await runPipeline([this.program(operation, options)], {
      signal: options.signal,
      feed: async (stdin) => {
        stdin.end(`${JSON.stringify(request)}\n`);
      },
      consume: async (stdout) => {
        for await (const line of createInterface({ input: stdout })) {
          const message = JSON.parse(line) as Message<K>;
          if ('progress' in message) options.onProgress?.(message.progress);
          else last = message;
        }
      },
    });
    if (last && 'result' in last) return last.result;
    throw toldError(last, 'sqlite tool');
  }

  program(operation: OperationName, options: Omit<AskOptions, 'signal'>): Program {
    const { node, script } = this.#installation;
    return {
      name: `sqlite tool (${operation})`,
      file: node,
      // node:sqlite still announces itself as experimental.
      args: ['--disable-warning=ExperimentalWarning', script, operation],
      successCodes: [0, TOLD_ERROR],
      ...(options.runAs ? { runAs: options.runAs } : {}),
      ...(options.limits ? { limits: options.limits } : {}),
      ...(options.nice === undefined ? {} : { nice: options.nice }),
      ...(options.temporaryFolder
        ? { environment: { SQLITE_TMPDIR: options.temporaryFolder } }
        : {}),
    };
  }
}

/** The sources are run as .ts, the built ones as .js. */
function ownInstallation(): ToolInstallation {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const script = fileURLToPath(new URL(`./tool.${extension}`, import.meta.url));
  return { node: process.execPath, script };
}
