import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { DropbackError } from '../../../runtime/errors.ts';
import type { Inspection, PreviousDatabase, RestoreTarget } from '../../engine.ts';
import { newId, ourName, SIDE_SUFFIXES } from '../names.ts';
import { isNoted } from '../noted.ts';
import type { Location } from '../owner.ts';
import type { SqliteTool } from '../tool-client.ts';
import { type Live, lookAtLive } from './live.ts';
import { besideLive, type SqliteState } from './state.ts';

/** SQLite's own mode for a new database file. */
const NEW_FILE_MODE = 0o644;

export async function plan(
  tool: SqliteTool,
  location: Location,
  inspection: Inspection,
  target: RestoreTarget,
  signal: AbortSignal,
): Promise<SqliteState> {
  const live = await lookAtLive(tool, location, signal);
  const journalMode = inspection.details['journalMode'] === 'wal' ? 'wal' : 'rollback';
  const state = describe(location, live, journalMode);
  if (target.kind === 'live') return state;
  const path = sidePath(location, target.name);
  const runAs = location.runAs;
  const [taken] = await tool.ask('identify', { paths: [path] }, { runAs, signal });
  if (taken) throw sideExists(path);
  return { ...state, kind: 'side', path, method: 'create', journalMode };
}

export async function planUndo(
  tool: SqliteTool,
  location: Location,
  previous: PreviousDatabase,
  signal: AbortSignal,
): Promise<SqliteState> {
  const { runAs } = location;
  const [kept] = await tool.ask('identify', { paths: [previous.name] }, { runAs, signal });
  if (!isNoted(kept, previous.identity)) {
    throw new DropbackError(
      'restore/previous-gone',
      `the previous file ${previous.name} is no longer there`,
      {
        hint: 'it was removed or renamed since, and stays listed until its time is over; restore a backup instead.',
      },
    );
  }
  return {
    ...describe(location, await lookAtLive(tool, location, signal), 'rollback'),
    kind: 'undo',
    staging: previous.name,
    stagingIdentity: previous.identity,
    phase: 'staged',
  };
}

function describe(
  { path, base, owner }: Location,
  live: Live,
  journalModeOfDump: 'wal' | 'rollback',
): SqliteState {
  const id = newId();
  const facts = live.kind === 'sound' ? live.facts : undefined;
  return {
    engine: 'sqlite',
    kind: 'live',
    id,
    path,
    staging: besideLive(path, ourName(base, 's', id)),
    stagingIdentity: null,
    previous: besideLive(path, ourName(base, 'p', id)),
    previousIdentity: null,
    method: methodFor(live),
    journalMode: facts && facts.bytes > 0 ? facts.journalMode : journalModeOfDump,
    pageSize: facts && facts.bytes > 0 ? facts.pageSize : null,
    mode: facts?.mode ?? NEW_FILE_MODE,
    // As the file really is: where the daemon may not look, it only knew the folder's owner.
    uid: facts?.uid ?? owner.uid,
    gid: facts?.gid ?? owner.gid,
    liveBytes: facts?.bytes ?? 0,
    liveIdentity: facts?.identity ?? null,
    phase: 'planned',
    swapAt: null,
  };
}

/** Renamed only where it can be proven that nobody has the old file open: in WAL mode. */
function methodFor(live: Live): SqliteState['method'] {
  if (live.kind === 'missing') return 'create';
  if (live.kind === 'damaged') return 'damaged';
  const { journalMode, isMount, links } = live.facts;
  return journalMode === 'wal' && !isMount && links === 1 ? 'rename' : 'overwrite';
}

function sidePath({ path, base, folder }: Location, name: string): string {
  const isPlain = name === basename(name) && !name.startsWith('.') && name.length <= 200;
  const isSideFile = SIDE_SUFFIXES.some((suffix) => name.endsWith(suffix));
  if (isPlain && !isSideFile && name !== base && existsSync(folder)) return besideLive(path, name);
  throw new DropbackError('restore/side-name', `${JSON.stringify(name)} can't be a side file`, {
    hint: 'give the plain name of a new file beside the database, for example yesterday.db.',
  });
}

function sideExists(path: string): DropbackError {
  return new DropbackError('restore/side-exists', `${path} exists already`, {
    hint: 'choose another name, or remove that file first: nothing is overwritten.',
  });
}
