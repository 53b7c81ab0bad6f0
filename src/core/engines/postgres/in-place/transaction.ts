import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DropbackError } from '../../../runtime/errors.ts';
import { runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Program } from '../../../runtime/process/program.ts';
import { clientProgram, type PostgresClient } from '../clients.ts';
import { libpqEnvironment } from '../environment.ts';
import { loadError } from '../restore/load-error.ts';
import { applicationName } from '../restore/names.ts';
import type { Server } from '../restore/server.ts';
import { LOCKED, ROWS_DIFFER } from './script.ts';

const MOST_KEPT = 50;

export interface Transaction {
  readonly server: Server;
  readonly id: string;
  readonly client: PostgresClient;
  readonly settings: Readonly<Record<string, string | number>>;
}

/** One psql session, which obeys what is written to it; the first error ends it. */
export interface Script {
  /** Fires when psql has ended: whatever is done meanwhile for its sake is of no use any more. */
  readonly ended: AbortSignal;
  write(sql: string): Promise<void>;
  /** Everything that these programs print; throws unless all of them succeed. */
  print(programs: readonly Program[]): Promise<void>;
  /** Number of the transaction, once it has locked every table. */
  locked(): Promise<string>;
}

/**
 * Runs `work` in one session of control, in the live database, and nothing else in it. What `work`
 * writes becomes permanent by its own COMMIT alone: when it throws, or any program fails, the
 * session ends without one. The bytes of the archive pass through this process (in a bounded
 * buffer), because only a whole script may be followed by a COMMIT, and pipes between programs
 * can't say whether the one in front succeeded.
 */
export async function runTransaction(
  { server, id, client, settings }: Transaction,
  work: (script: Script) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const errors: string[] = [];
  const ended = new AbortController();
  const locked = Promise.withResolvers<string>();
  locked.promise.catch(() => {});
  const program = {
    name: 'psql',
    file: clientProgram(client, 'psql'),
    args: ['-X', '-q', '-w', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', '-'],
    environment: {
      ...libpqEnvironment(server.control, {
        database: server.liveName,
        applicationName: applicationName(id),
        settings,
      }),
      PSQL_HISTORY: '/dev/null',
    },
  };
  try {
    await runPipeline([program], {
      signal,
      feed: async (stdin) => {
        const inside = AbortSignal.any([signal, ended.signal]);
        await work({
          ended: inside,
          write: (sql) => writeTo(stdin, sql),
          print: (programs) => printTo(stdin, programs, inside),
          locked: () => locked.promise,
        });
        stdin.end();
      },
      consume: async (stdout) => {
        await listen(stdout, (number) => locked.resolve(number));
        ended.abort(new Error('psql has ended'));
        locked.reject(new Error('psql has ended'));
      },
      onStderr: (_name, line) => {
        if (/ERROR:|FATAL:|PANIC:|error:/.test(line) && errors.length < MOST_KEPT)
          errors.push(line);
        server.options.log.debug({ line }, 'psql says');
      },
    });
  } catch (error) {
    if (signal.aborted) throw error;
    const said = errors.length > 0 ? errors : stderrOf(error);
    throw said.length > 0 ? explain(said, error) : error;
  }
}

async function listen(stdout: Readable, onLocked: (number: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stdout })) {
    if (line.startsWith(LOCKED)) onLocked(line.slice(LOCKED.length));
  }
}

function writeTo(stdin: Writable, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stdin.write(sql, (error) => (error ? reject(error) : resolve()));
  });
}

async function printTo(
  stdin: Writable,
  programs: readonly Program[],
  signal: AbortSignal,
): Promise<void> {
  await runPipeline(programs, {
    signal,
    consume: (stdout) => pipeline(stdout, stdin, { end: false, signal }),
  });
}

function explain(errors: readonly string[], cause: unknown): DropbackError {
  const first = errors[0] ?? '';
  const facts = { program: 'psql', stderr: errors };
  const differ = first.indexOf(ROWS_DIFFER);
  if (differ !== -1) {
    const message = first.slice(differ).replace(/^dropback: /, '');
    return new DropbackError('restore/rows-differ', message, {
      hint: 'the backup or the load is damaged: everything was rolled back. Try an older backup, and keep this one for a look.',
      facts,
      cause,
    });
  }
  if (/due to lock timeout|deadlock detected/.test(first)) {
    return new DropbackError('restore/database-in-use', `the tables are in use: ${first}`, {
      hint: 'stop what is connected to the database (RESTORE_STOP_CONTAINERS), or let a superuser run GRANT pg_signal_backend. The live database is unchanged.',
      facts,
      cause,
    });
  }
  if (
    /must be owner of|permission denied|cannot drop .* because other objects depend/.test(first)
  ) {
    return new DropbackError('restore/in-place-not-permitted', `not in place: ${first}`, {
      hint: 'everything was rolled back. Give the role CREATEDB and unset RESTORE_IN_PLACE, or set RESTORE_ADMIN_URL.',
      facts,
      cause,
    });
  }
  return loadError('psql', errors, cause);
}

function stderrOf(error: unknown): string[] {
  const facts = error instanceof DropbackError && error.facts['program'] === 'psql' && error.facts;
  return facts && Array.isArray(facts['stderr']) ? facts['stderr'].map(String) : [];
}
