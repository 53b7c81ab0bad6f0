import { basename } from 'node:path';
import { DropbackError } from '../../../runtime/errors.ts';
import type { PreviousDatabase, StepContext } from '../../engine.ts';
import { isOurName, ourPrefix, SIDE_SUFFIXES } from '../names.ts';
import { isNoted } from '../noted.ts';
import type { Location } from '../owner.ts';
import type { SqliteTool } from '../tool-client.ts';
import { outcome } from './outcome.ts';
import { actorOf, baseOf, besideLive, type SqliteState } from './state.ts';
import { putBack, settle } from './swap.ts';

/** After a swap: the staged file where it was copied from, and the modes where that was cut short. */
export async function finish(
  tool: SqliteTool,
  state: SqliteState,
  { signal, log }: StepContext,
): Promise<void> {
  const warnings = await settle(tool, state, signal);
  if (warnings.length > 0) log.warn({ warnings }, 'the swap is done, but not all of its trimmings');
  await removeStaging(tool, state, signal);
}

/** A restore that was not swapped: everything of it goes, in the order that `outcome` relies on. */
export async function discard(
  tool: SqliteTool,
  state: SqliteState,
  { signal, log }: StepContext,
): Promise<void> {
  if ((await outcome(tool, state, signal)) === 'swapped') {
    throw new DropbackError('internal/unexpected', 'a restore that was swapped is not discarded', {
      hint: 'this is a bug in dropback: nothing was removed.',
      facts: { path: state.path, id: state.id },
    });
  }
  const runAs = actorOf(state);
  if (state.phase === 'swapping' || state.phase === 'overwriting') {
    await putBack(tool, state, log, signal);
    await removePrevious(tool, state, signal);
  }
  if (state.kind === 'undo') return;
  await tool.ask('remove', { paths: withSideFiles(state.staging) }, { runAs, signal });
}

async function removePrevious(tool: SqliteTool, state: SqliteState, signal: AbortSignal) {
  const runAs = actorOf(state);
  const { path, previous } = state;
  const paths = [path, previous];
  const [live, kept] = await tool.ask('identify', { paths }, { runAs, signal });
  if (!kept) return;
  // By rename it is a second name of the live file; in place, a copy of it.
  if (state.method !== 'overwrite' && live?.identity !== kept.identity) return;
  await tool.ask('remove', { paths: withSideFiles(previous) }, { runAs, signal });
}

/** By inode: a staged file that has become the live one has another name now. */
async function removeStaging(tool: SqliteTool, state: SqliteState, signal: AbortSignal) {
  const runAs = actorOf(state);
  const { path, staging } = state;
  const [live, staged] = await tool.ask('identify', { paths: [path, staging] }, { runAs, signal });
  if (!staged || !isNoted(staged, state.stagingIdentity)) return;
  const isName = isOurName(basename(staging), baseOf(state), state.kind === 'undo' ? 'p' : 's');
  if (state.kind !== 'side' && !isName) return;
  // A second name of the live file goes alone: side files of that name were never made.
  const paths = live?.identity === staged.identity ? [staging] : withSideFiles(staging);
  await tool.ask('remove', { paths }, { runAs, signal });
}

export async function measurePrevious(
  tool: SqliteTool,
  { runAs }: Location,
  previous: PreviousDatabase,
  signal: AbortSignal,
): Promise<number | undefined> {
  const [kept] = await tool.ask('identify', { paths: [previous.name] }, { runAs, signal });
  return isNoted(kept, previous.identity) ? kept?.bytes : undefined;
}

export async function dropPrevious(
  tool: SqliteTool,
  location: Location,
  previous: PreviousDatabase,
  signal: AbortSignal,
): Promise<void> {
  const { path, base, runAs } = location;
  const name = basename(previous.name);
  const isOurs = isOurName(name, base, 'p') && besideLive(path, name) === previous.name;
  if (!isOurs || !name.endsWith(previous.id)) throw notOurs(previous);
  const paths = [previous.name, path];
  const [kept, live] = await tool.ask('identify', { paths }, { runAs, signal });
  if (!kept) return;
  if (!isNoted(kept, previous.identity) || kept.identity === live?.identity) {
    throw notOurs(previous);
  }
  await tool.ask('remove', { paths: withSideFiles(previous.name) }, { runAs, signal });
}

/**
 * Staged files that no state names. Of kept ones only what is a second name of the live file: the
 * records may be lost or lie elsewhere, and such a file may be somebody's only copy of the old data.
 */
export async function sweep(
  tool: SqliteTool,
  { path, folder, base, runAs }: Location,
  known: readonly SqliteState[],
  { signal, log }: Pick<StepContext, 'signal' | 'log'>,
): Promise<string[]> {
  const options = { runAs, signal };
  const named = new Set(known.flatMap(({ staging, previous }) => [staging, previous]));
  // Each question is a process: with many databases, most of what a start costs.
  const found = await tool.ask('list', { folder, prefix: ourPrefix(base) }, options);
  const unknown = (kind: 's' | 'p') =>
    found.filter(({ name }) => {
      const whole = name.replace(/-(wal|shm|journal)$/, '');
      return isOurName(name, base, kind, true) && !named.has(besideLive(path, whole));
    });
  const kept = unknown('p');
  const [live] = kept.length > 0 ? await tool.ask('identify', { paths: [path] }, options) : [];
  const isLive = ({ identity }: { identity: string }) => identity === live?.identity;
  const swept = [...unknown('s'), ...kept.filter(isLive)];
  const paths = swept.map(({ name }) => besideLive(path, name));
  if (paths.length > 0) await tool.ask('remove', { paths }, options);
  const left = kept.filter((file) => !isLive(file)).map(({ name }) => besideLive(path, name));
  if (left.length > 0) {
    log.warn({ files: left }, 'kept files that no record names: left alone, remove them by hand');
  }
  return paths;
}

function withSideFiles(path: string): string[] {
  return [...SIDE_SUFFIXES.map((suffix) => path + suffix), path];
}

function notOurs(previous: PreviousDatabase): DropbackError {
  return new DropbackError('restore/previous-mismatch', `${previous.name} is not what was kept`, {
    hint: 'the file was replaced by another one: nothing was removed. Look at it and remove it by hand.',
    facts: { name: previous.name, identity: previous.identity },
  });
}
