import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import type { PreviousDatabase, StepContext, SwapResult } from '../../engine.ts';
import { carryOver } from './carry-over.ts';
import { wantedProfile } from './finish-staging.ts';
import { applicationName } from './names.ts';
import { leftBehind } from './obstacles.ts';
import { insistOnOutcome, readReplaced } from './outcome.ts';
import type { Server } from './server.ts';
import type { PostgresRestoreState } from './state.ts';
import { CommitInDoubt, swapDatabases } from './swap.ts';

const MOST_ATTEMPTS = 3;

/** The swap step: settings once more, the swap, and whatever doubt it leaves resolved. */
export async function swapAndReport(
  server: Server,
  state: PostgresRestoreState,
  context: StepContext,
): Promise<SwapResult> {
  const { comment, warnings } = await prepare(server, state, context);
  for (let attempt = 1; ; attempt++) {
    try {
      await swapDatabases(server, state, comment, context);
      break;
    } catch (error) {
      const isLost = error instanceof DropbackError && error.retryable;
      if (!(error instanceof CommitInDoubt) && !isLost) throw error;
      context.log.warn({ attempt, why: messageOf(error) }, 'the connection broke during the swap');
      if ((await insistOnOutcome(server, state, context.signal)) === 'swapped') break;
      if (attempt >= MOST_ATTEMPTS) throw broken(state, error);
    }
  }
  return report(server, state, warnings, context);
}

/**
 * What changed on the live database since the check is put on again, and what cannot come along is
 * told while the old database still has the name.
 */
async function prepare(
  server: Server,
  state: PostgresRestoreState,
  { signal }: StepContext,
): Promise<{ comment: string | null; warnings: string[] }> {
  await using session = await server.open({ applicationName: applicationName(state.id), signal });
  const warnings = state.liveOid === null ? [] : await leftBehind(session, state.liveOid);
  if (state.kind === 'undo' || state.stagingOid === null) return { comment: null, warnings };
  const wanted = await wantedProfile(session, server, state);
  await carryOver(session, { name: state.stagingName, oid: state.stagingOid }, wanted);
  return { comment: wanted.comment, warnings };
}

/** The swap is done: from here on nothing may fail any more. */
async function report(
  server: Server,
  state: PostgresRestoreState,
  warnings: readonly string[],
  context: StepContext,
): Promise<SwapResult> {
  try {
    const found = await readReplaced(server, state, context.signal);
    return { ...found, warnings: [...warnings, ...found.warnings] };
  } catch (error) {
    const said = [...warnings, `the previous database could not be measured: ${messageOf(error)}`];
    if (state.liveOid === null) return { warnings: said };
    const previous: PreviousDatabase = {
      id: state.id,
      engine: 'postgres',
      name: state.previousName,
      identity: state.liveOid,
      replacedAt: server.options.clock.now().toISOString(),
      bytes: 0,
    };
    return { previous, warnings: said };
  }
}

function broken(state: PostgresRestoreState, cause: unknown): DropbackError {
  return new DropbackError(
    'restore/swap-interrupted',
    `the connection broke ${MOST_ATTEMPTS} times during the swap of ${JSON.stringify(state.liveName)}`,
    {
      hint: "the live database is unchanged: look into the server's log for what ends its sessions.",
      retryable: true,
      cause,
    },
  );
}
