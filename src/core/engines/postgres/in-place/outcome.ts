import { DropbackError, isAbort, messageOf } from '../../../runtime/errors.ts';
import { retry } from '../../../runtime/retry.ts';
import type { PreviousDatabase, SwapResult } from '../../engine.ts';
import { applicationName } from '../restore/names.ts';
import type { Server } from '../restore/server.ts';
import { isOnServer } from '../restore/server-identity.ts';
import { terminateNamed } from '../restore/terminate.ts';
import { identify, measureSafety, safetyPaths } from './safety-file.ts';
import { type InPlaceState, toState } from './state.ts';

const TERMINATE_MOST_MS = 60_000;
const RECOVERY = 'dropback recovery';

/**
 * Ends what may still run of it, so that the answer is final; then the server says what became of
 * the transaction. Throws `restore/outcome-unknown` (retryable) where it says neither.
 */
export async function readOutcomeInPlace(
  server: Server,
  state: InPlaceState,
  signal: AbortSignal,
): Promise<'not-swapped' | 'swapped'> {
  await using session = await server.open({ applicationName: RECOVERY, signal });
  const bounds = { clock: server.options.clock, signal, mostMs: TERMINATE_MOST_MS };
  await terminateNamed(session, applicationName(state.id), bounds);
  if (state.transaction === null || !(await isOnServer(session, toState(state)))) {
    return 'not-swapped';
  }
  const { status } = await session.queryOne<{ status: string | null }>(
    'SELECT pg_xact_status($1::xid8) AS status',
    [state.transaction],
  );
  if (status === 'committed') return 'swapped';
  if (status === 'aborted') return 'not-swapped';
  throw new DropbackError(
    'restore/outcome-unknown',
    `the server says of the transaction ${state.transaction}: ${status ?? 'too old to tell'}`,
    {
      hint: 'look at the database: it holds the old content or the new one as a whole; the safety dump is kept.',
      facts: { transaction: state.transaction, status },
      retryable: status !== null,
    },
  );
}

/** The same, asked until the server answers: neither answer may be guessed. */
export async function insistOnOutcome(
  server: Server,
  state: InPlaceState,
  signal: AbortSignal,
): Promise<'not-swapped' | 'swapped'> {
  const { clock, log } = server.options;
  try {
    return await retry(() => readOutcomeInPlace(server, state, signal), {
      clock,
      signal,
      backoff: { firstMs: 250, mostMs: 5000, attempts: Number.POSITIVE_INFINITY },
      onRetry: (error, attempt) =>
        log.warn({ attempt, why: messageOf(error) }, 'asking the server whether it committed'),
    });
  } catch (error) {
    if (!isAbort(error)) throw error;
    throw new DropbackError(
      'restore/outcome-unknown',
      'the connection was lost during COMMIT, and the server has not said how it ended',
      {
        hint: 'when the server is back, the restore daemon reads the outcome from it and goes on.',
        cause: error,
      },
    );
  }
}

/** The safety dump, as it lies there. */
export async function readReplacedInPlace(
  server: Server,
  folder: string,
  state: InPlaceState,
  signal: AbortSignal,
): Promise<SwapResult> {
  const name = safetyPaths(folder, state.id).final;
  const previous: PreviousDatabase = {
    id: state.id,
    engine: 'postgres',
    name,
    identity: '',
    replacedAt: server.options.clock.now().toISOString(),
    bytes: 0,
  };
  try {
    const bytes = await measureSafety(folder, previous);
    if (bytes === undefined) return { warnings: [`the safety dump ${name} is no longer there`] };
    const identity = await identify(name, signal);
    return { previous: { ...previous, identity, bytes }, warnings: [] };
  } catch (error) {
    // Without a checksum it can't be undone by command, but it is kept, and known.
    return { previous, warnings: [`the safety dump can't be read: ${messageOf(error)}`] };
  }
}
