import type { Logger } from '../../../observability/log.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { DropbackError, messageOf } from '../../../runtime/errors.ts';
import type { StepContext, SwapResult } from '../../engine.ts';
import type { SqliteTool } from '../tool-client.ts';
import { outcome, replaced } from './outcome.ts';
import { actorOf, type SqliteState } from './state.ts';

/** How long a program that still has the file open is waited for. */
const WAIT_MS = 5000;
/** Once the swap is in doubt, finding out is not broken off by whoever broke off the swap. */
const RESOLVE_MS = 60_000;
const MOST_ROUNDS = 3;

export interface Swapped {
  readonly state: SqliteState;
  readonly result: SwapResult;
}

/** Makes staging live. When it throws, the live database is the old one, in its old journal mode. */
export async function swap(
  tool: SqliteTool,
  planned: SqliteState,
  clock: Clock,
  context: StepContext,
): Promise<SwapResult> {
  let state: SqliteState = { ...planned, phase: 'swapping', swapAt: clock.now().toISOString() };
  const save = async (next: SqliteState) => {
    await context.save(next);
    state = next;
  };
  await save(state);
  const warnings: string[] = [];
  try {
    if (!(await byRename(tool, state, context, warnings))) {
      await save({ ...state, method: 'overwrite' });
      await inPlace(tool, () => state, save, context.signal);
    }
  } catch (error) {
    const late = AbortSignal.timeout(RESOLVE_MS);
    if ((await outcome(tool, state, late)) === 'not-swapped') {
      await putBack(tool, state, context.log, late);
      throw error;
    }
    warnings.push(`the swap was done although it ended in an error: ${messageOf(error)}`);
  }
  const late = AbortSignal.timeout(RESOLVE_MS);
  warnings.push(...(await settle(tool, state, late)));
  const result = await replaced(tool, state, late);
  return { ...result, warnings: [...warnings, ...result.warnings] };
}

/** False where it can't be done by a rename; nothing was changed then. */
async function byRename(
  tool: SqliteTool,
  state: SqliteState,
  { signal, log }: StepContext,
  warnings: string[],
): Promise<boolean> {
  const { path, staging, previous, method, stagingIdentity } = state;
  if (method === 'overwrite') return false;
  const answer = await tool.ask(
    'replace',
    {
      path,
      staging,
      stagingIdentity: stagingIdentity ?? '',
      previous,
      waitMs: WAIT_MS,
      how: method === 'rename' ? 'proven' : method,
    },
    { runAs: actorOf(state), signal },
  );
  if (answer.done) {
    warnings.push(...answer.warnings);
    return true;
  }
  if (method !== 'rename') throw cannotReplace(path, answer.reason);
  log.info({ reason: answer.reason }, 'not swapped by a rename: writing over the file in place');
  return false;
}

/** Keeps a copy, then writes over the file; anew when someone wrote in between. */
async function inPlace(
  tool: SqliteTool,
  current: () => SqliteState,
  save: (state: SqliteState) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { path, previous, staging } = current();
  const options = { runAs: actorOf(current()), signal };
  for (let round = 1; round <= MOST_ROUNDS; round++) {
    const [live] = await tool.ask('identify', { paths: [path] }, options);
    // An empty file is a database in which nothing was ever created: there is nothing to keep.
    const kept =
      live && live.bytes > 0
        ? await tool.ask('keep', { path, previous, waitMs: WAIT_MS }, options)
        : undefined;
    await save({ ...current(), phase: 'overwriting', previousIdentity: kept?.identity ?? null });
    const changeCounter = kept?.changeCounter ?? null;
    const request = { path, staging, changeCounter, waitMs: WAIT_MS };
    const { done } = await tool.ask('overwrite', request, options);
    if (done) return;
    await save({ ...current(), phase: 'swapping' });
  }
  throw new DropbackError('restore/database-in-use', `another program goes on writing to ${path}`, {
    hint: 'name every container that uses the database in RESTORE_STOP_CONTAINERS; then drop the file again.',
    facts: { path },
  });
}

/** The journal mode and mode bits that the live file had; what fails is a warning. */
export async function settle(
  tool: SqliteTool,
  state: SqliteState,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { path, journalMode, mode } = state;
  try {
    const request = { path, journalMode, mode: state.method === 'overwrite' ? null : mode };
    return (await tool.ask('settle', request, { runAs: actorOf(state), signal })).warnings;
  } catch (error) {
    return [`journal mode and mode bits could not be set: ${messageOf(error)}`];
  }
}

/** Not swapped after all: the proof may have taken the live file out of WAL mode. */
export async function putBack(
  tool: SqliteTool,
  state: SqliteState,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  if (state.kind === 'side' || state.method === 'create' || state.method === 'damaged') return;
  if (state.journalMode !== 'wal' || state.liveBytes === 0) return;
  const warnings = await settle(tool, { ...state, method: 'overwrite' }, signal);
  if (warnings.length > 0)
    log.warn({ warnings }, 'the live file is as it was, save its journal mode');
}

function cannotReplace(path: string, reason: string): DropbackError {
  return new DropbackError('restore/cannot-replace', `${path} can't be replaced: ${reason}`, {
    hint: 'mount the folder of the database, not the file itself.',
    facts: { path },
  });
}
