import { DropbackError, isAbort, messageOf } from '../../../runtime/errors.ts';
import { retry } from '../../../runtime/retry.ts';
import type { PreviousDatabase, SwapResult } from '../../engine.ts';
import { nameOfOid } from './live.ts';
import { applicationName } from './names.ts';
import { measure } from './previous.ts';
import type { Server } from './server.ts';
import { isOnServer } from './server-identity.ts';
import { type PostgresRestoreState, toState } from './state.ts';
import { terminateNamed } from './terminate.ts';

const TERMINATE_MOST_MS = 30_000;
const RECOVERY = 'dropback recovery';

/**
 * Ends what may still run of this restore, then reads from the catalog which database has the live
 * name. Throws `database/unreachable` (retryable), `restore/sessions-remain`.
 */
export async function readOutcome(
  server: Server,
  state: PostgresRestoreState,
  signal: AbortSignal,
): Promise<'not-swapped' | 'swapped'> {
  await using session = await server.open({ applicationName: RECOVERY, signal });
  const { clock } = server.options;
  const bounds = { clock, signal, mostMs: TERMINATE_MOST_MS };
  await terminateNamed(session, applicationName(state.id), bounds);
  if (state.stagingOid === null || !(await isOnServer(session, toState(state)))) {
    return 'not-swapped';
  }
  const name = await nameOfOid(session, state.stagingOid);
  return name === state.liveName ? 'swapped' : 'not-swapped';
}

/**
 * The same, for a swap whose COMMIT was not answered: asked until the server answers, because
 * neither answer may be guessed. Only `signal` ends it, with `restore/outcome-unknown`.
 */
export async function insistOnOutcome(
  server: Server,
  state: PostgresRestoreState,
  signal: AbortSignal,
): Promise<'not-swapped' | 'swapped'> {
  const { clock, log } = server.options;
  try {
    return await retry(() => readOutcome(server, state, signal), {
      clock,
      signal,
      backoff: { firstMs: 250, mostMs: 5000, attempts: Number.POSITIVE_INFINITY },
      onRetry: (error, attempt) =>
        log.warn({ attempt, why: messageOf(error) }, 'asking the server whether it swapped'),
    });
  } catch (error) {
    if (!isAbort(error)) throw error;
    throw new DropbackError(
      'restore/outcome-unknown',
      'the connection was lost during the swap, and the server has not said how it ended',
      {
        hint: 'when the server is back, the restore daemon reads the outcome from it and goes on.',
        cause: error,
      },
    );
  }
}

/** What a finished swap put aside, read from the server. */
export async function readReplaced(
  server: Server,
  state: PostgresRestoreState,
  signal: AbortSignal,
): Promise<SwapResult> {
  if (state.liveOid === null) return { warnings: [] };
  const previous: PreviousDatabase = {
    id: state.id,
    engine: 'postgres',
    name: state.previousName,
    identity: state.liveOid,
    replacedAt: server.options.clock.now().toISOString(),
    bytes: 0,
  };
  await using session = await server.open({ applicationName: RECOVERY, signal });
  const bytes = await measure(session, previous);
  if (bytes === undefined) {
    return { warnings: [`the previous database ${state.previousName} is no longer there`] };
  }
  return { previous: { ...previous, bytes }, warnings: [] };
}
