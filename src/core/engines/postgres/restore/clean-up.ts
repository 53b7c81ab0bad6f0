import type { StepContext } from '../../engine.ts';
import type { Session } from '../session.ts';
import { dropDatabase } from './drop-database.ts';
import { tidyLoadRole } from './given-load-role.ts';
import { dropLoadRole } from './load-role.ts';
import { applicationName } from './names.ts';
import { dropPlaceholders } from './placeholders.ts';
import { rollBackPrepared } from './prepared.ts';
import type { Server } from './server.ts';
import { tidyStandIns } from './stand-in.ts';
import type { PostgresRestoreState } from './state.ts';
import { terminateNamed } from './terminate.ts';

const TERMINATE_MOST_MS = 30_000;

/**
 * Drops the roles that a restore needed while it ran, and puts one that it was given in order.
 * Returns the placeholders that must stay.
 */
export async function dropRoles(
  server: Server,
  session: Session,
  state: PostgresRestoreState,
  signal: AbortSignal,
): Promise<string[]> {
  if (state.loadRole !== null) await dropLoadRole(session, state.loadRole);
  else if (server.load && state.kind === 'restore' && state.stagingOid !== null) {
    await tidyLoadRole(server, session, server.load, signal);
  }
  return dropPlaceholders(session, { ...state, names: state.placeholders });
}

/** After a swap. Idempotent. */
export async function finishRestore(
  server: Server,
  state: PostgresRestoreState,
  { signal, log }: StepContext,
): Promise<void> {
  await using session = await server.open({ applicationName: 'dropback finish', signal });
  const left = await dropRoles(server, session, state, signal);
  left.push(...(await tidyStandIns(session, server.liveName)));
  if (left.length > 0) log.warn({ roles: left }, 'roles made for the restore are still in use');
}

/** Ends what runs of it, drops staging, then the roles. Never touches what an undo put in place. */
export async function discardRestore(
  server: Server,
  state: PostgresRestoreState,
  { signal, log }: StepContext,
): Promise<void> {
  // One name for all: a DROP that an earlier attempt has left running is ended too.
  const ours = applicationName(state.id);
  await using session = await server.open({ applicationName: ours, signal });
  const bounds = { clock: server.options.clock, signal, mostMs: TERMINATE_MOST_MS };
  await terminateNamed(session, ours, bounds);
  if (state.kind === 'restore') {
    const { stagingName: name, stagingOid: oid } = state;
    await dropDatabase(session, { name, kind: 'staging', oid }, (database) =>
      rollBackPrepared(server, session, database, signal),
    );
  }
  const left = await dropRoles(server, session, state, signal);
  left.push(...(await tidyStandIns(session, server.liveName)));
  if (left.length > 0) log.warn({ roles: left }, 'roles made for the restore are still in use');
}
