import { DropbackError, throwIfAborted } from '../../../runtime/errors.ts';
import type { StepContext } from '../../engine.ts';
import { sqlState } from '../connection-errors.ts';
import { ident, literal } from '../quoting.ts';
import type { Session } from '../session.ts';
import { nameOfOid, oidOfName } from './live.ts';
import { applicationName } from './names.ts';
import { preparedTransactions } from './obstacles.ts';
import type { Server } from './server.ts';
import type { PostgresRestoreState } from './state.ts';
import { terminateIn } from './terminate.ts';
import { rollBack } from './transaction.ts';

/** How long the swap is tried against clients that keep coming back. */
const MOST_MS = 30_000;
const LOCK_TIMEOUT_MS = 8000;
/** RENAME itself looks for other sessions every 100 ms, for 5 s. */
const TERMINATE_EVERY_MS = 50;
const STATEMENT_TIMEOUT_MS = 15_000;
const COMMIT_TIMEOUT_MS = 60_000;

/** SQLSTATEs after which the same transaction may well succeed: in use, lock time-out, deadlock. */
const TRY_AGAIN = new Set(['55006', '55P03', '40P01', '57014']);

/** Thrown when the answer to COMMIT did not come: it may or may not have happened. */
export class CommitInDoubt extends Error {}

/**
 * Both renames in one transaction, one statement a round trip and COMMIT alone: whoever dies, and
 * whenever, the live name is either the old database's or the new one's. Meanwhile a second session
 * ends all others in both databases, until the renames have their locks.
 *
 * Throws `restore/database-in-use`, `restore/live-changed`, or CommitInDoubt.
 */
export async function swapDatabases(
  server: Server,
  state: PostgresRestoreState,
  comment: string | null,
  context: StepContext,
): Promise<void> {
  const { clock } = server.options;
  const deadline = clock.monotonic() + MOST_MS;
  const needs = {
    applicationName: applicationName(state.id),
    signal: context.signal,
    lockTimeoutMs: LOCK_TIMEOUT_MS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  };
  await using renamer = await server.open({
    ...needs,
    idleInTransactionMs: STATEMENT_TIMEOUT_MS,
    settings: { synchronous_commit: 'on' },
  });
  await using terminator = await server.open(needs);
  for (let attempt = 1; ; attempt++) {
    const eviction = new Eviction(terminator, databasesOf(state), server, context.signal);
    try {
      await attemptSwap(renamer, state, comment, eviction, context);
      return;
    } catch (error) {
      const again = TRY_AGAIN.has(sqlState(error) ?? '');
      if (!again) throw error;
      if (clock.monotonic() > deadline) {
        const prepared = await preparedTransactions(renamer, { name: state.liveName });
        const by = [...eviction.refused, ...prepared.map(({ message }) => message)];
        throw inUse(state, by, error);
      }
      context.log.warn({ attempt, sqlstate: sqlState(error) }, 'the databases are still in use');
    } finally {
      await eviction.stop();
    }
  }
}

async function attemptSwap(
  session: Session,
  state: PostgresRestoreState,
  comment: string | null,
  eviction: Eviction,
  context: StepContext,
): Promise<void> {
  throwIfAborted(context.signal);
  await session.query('BEGIN');
  try {
    await requireIdentities(session, state);
    const staging = ident(state.stagingName);
    // Only now, because until now the comment said whose staging database it is.
    if (state.kind === 'restore') {
      const text = comment === null ? 'NULL' : literal(comment);
      await session.query(`COMMENT ON DATABASE ${staging} IS ${text}`);
    }
    const live = ident(state.liveName);
    if (state.liveOid !== null) {
      await session.query(`ALTER DATABASE ${live} RENAME TO ${ident(state.previousName)}`);
    }
    await session.query(`ALTER DATABASE ${staging} RENAME TO ${live}`);
    // Both locks are ours: whoever connects from now on waits for COMMIT and must not be ended.
    await eviction.stop();
    throwIfAborted(context.signal);
  } catch (error) {
    await rollBack(session);
    throw error;
  }
  try {
    // Past this point nobody's wish to stop counts: the answer has to be known.
    await session.query('COMMIT', [], AbortSignal.timeout(COMMIT_TIMEOUT_MS));
  } catch (error) {
    throw new CommitInDoubt('COMMIT was not answered', { cause: error });
  }
}

/** Names and OIDs still belong together as they did when the restore was planned. */
async function requireIdentities(session: Session, state: PostgresRestoreState): Promise<void> {
  const { liveOid, stagingOid } = state;
  const found = await oidOfName(session, state.liveName);
  if ((found ?? null) !== liveOid) {
    throw changed(state, `${state.liveName} has the oid ${found ?? 'of nothing'}, not ${liveOid}`);
  }
  const staged = stagingOid === null ? undefined : await nameOfOid(session, stagingOid);
  if (staged !== state.stagingName) {
    throw changed(state, `the staging database is called ${staged ?? 'nothing: it is gone'}`);
  }
}

function databasesOf(state: PostgresRestoreState): string[] {
  return [state.liveOid, state.stagingOid].filter((oid) => oid !== null);
}

/** Ends sessions in a loop, on a session of its own, until told to stop. */
class Eviction {
  refused: string[] = [];
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(session: Session, oids: readonly string[], server: Server, signal: AbortSignal) {
    const either = AbortSignal.any([this.#stop.signal, signal]);
    this.#done = this.#run(session, oids, server, either);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(
    session: Session,
    oids: readonly string[],
    server: Server,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      for (;;) {
        // Not cancelled in the middle: the loop ends between two looks.
        this.refused = await terminateIn(session, oids);
        if (signal.aborted) return;
        await server.options.clock.sleep(TERMINATE_EVERY_MS, signal);
      }
    } catch {
      // Stopped, or the session is lost: the renames then fail for as long as others are there.
    }
  }
}

function inUse(
  state: PostgresRestoreState,
  refused: readonly string[],
  cause: unknown,
): DropbackError {
  const by = refused.length > 0 ? `, and may not be freed: ${refused.join('; ')}` : '';
  return new DropbackError(
    'restore/database-in-use',
    `the database ${JSON.stringify(state.liveName)} was in use for ${MOST_MS / 1000} s${by}`,
    {
      hint: 'stop what is connected to it (RESTORE_STOP_CONTAINERS), or give RESTORE_ADMIN_URL a role that may end those sessions. The live database is unchanged.',
      facts: { refused },
      cause,
    },
  );
}

function changed(state: PostgresRestoreState, what: string): DropbackError {
  return new DropbackError(
    'restore/live-changed',
    `the databases are not those that the restore was planned for: ${what}`,
    {
      hint: 'somebody else renamed or replaced a database meanwhile. Nothing was changed; start the restore again.',
      facts: { live: state.liveName, liveOid: state.liveOid, stagingOid: state.stagingOid },
    },
  );
}
