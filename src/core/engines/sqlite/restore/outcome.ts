import type { SwapResult } from '../../engine.ts';
import { isNoted } from '../noted.ts';
import type { SqliteTool } from '../tool-client.ts';
import { actorOf, type SqliteState } from './state.ts';

/** How long a writer on the live file is waited for. */
const WAIT_MS = 10_000;

/**
 * A rename is decided by the inode under the live name, a write in place by the pages. Tools die
 * with the daemon that started them (`--pdeathsig`), so nothing changes the answer afterwards.
 */
export async function outcome(
  tool: SqliteTool,
  state: SqliteState,
  signal: AbortSignal,
): Promise<'not-swapped' | 'swapped'> {
  if (state.phase !== 'swapping' && state.phase !== 'overwriting') return 'not-swapped';
  const runAs = actorOf(state);
  const { path, staging, previous } = state;
  const paths = [path, staging, previous];
  const [live, staged, kept] = await tool.ask('identify', { paths }, { runAs, signal });
  if (state.method !== 'overwrite') {
    return isNoted(live, state.stagingIdentity) ? 'swapped' : 'not-swapped';
  }
  // Before the kept copy was complete nothing had been written.
  if (state.phase === 'swapping') return 'not-swapped';
  // `discard` removes the kept copy first, `finish` the staged file: the one left says which it was.
  if (!staged) return kept ? 'swapped' : 'not-swapped';
  const request = { path, newFile: staging, oldFile: kept ? previous : null, waitMs: WAIT_MS };
  const { matches } = await tool.ask('compare', request, { runAs, signal });
  return matches === 'new' ? 'swapped' : 'not-swapped';
}

/** The old file as it is kept now. */
export async function replaced(
  tool: SqliteTool,
  state: SqliteState,
  signal: AbortSignal,
): Promise<SwapResult> {
  if (state.kind === 'side') return { warnings: [] };
  const runAs = actorOf(state);
  const [kept] = await tool.ask('identify', { paths: [state.previous] }, { runAs, signal });
  if (!kept) return { warnings: [] };
  const replacedAt = state.swapAt ?? new Date(0).toISOString();
  const { identity, bytes } = kept;
  const { id, previous: name } = state;
  return { previous: { id, engine: 'sqlite', name, identity, replacedAt, bytes }, warnings: [] };
}
