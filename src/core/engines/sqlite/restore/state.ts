import { basename, dirname, join } from 'node:path';
import { DropbackError } from '../../../runtime/errors.ts';
import type { UserIdentity } from '../../../runtime/process/program.ts';
import type { RestoreState } from '../../engine.ts';
import { actingAs, type Location } from '../owner.ts';
import type { JournalMode } from '../protocol.ts';

/**
 * Everything that a restore into a SQLite file must remember. A type, not an interface: it has to be
 * a JSON value for the journal.
 */
export type SqliteState = Readonly<{
  engine: 'sqlite';
  kind: 'live' | 'side' | 'undo';
  /** 16 hex digits, in the names of `staging` and `previous`. */
  id: string;
  /** The file that is to be replaced (or created); links resolved. */
  path: string;
  /** The file that takes its place. For an undo: the kept one. */
  staging: string;
  /** `dev:inode`, once it exists. */
  stagingIdentity: string | null;
  /** Where the old file is kept. */
  previous: string;
  /** For an overwritten file: the copy that was made of it. */
  previousIdentity: string | null;
  method: 'rename' | 'create' | 'damaged' | 'overwrite';
  /** What the live file is to be like afterwards: what it was, or what the dump says. */
  journalMode: JournalMode;
  pageSize: number | null;
  mode: number;
  uid: number;
  gid: number;
  liveBytes: number;
  /** `dev:inode` of the live file when this was planned. */
  liveIdentity: string | null;
  /** `overwriting`: the kept copy is complete, and the live file may be the old or the new one. */
  phase: 'planned' | 'staged' | 'swapping' | 'overwriting';
  /** ISO 8601, UTC. */
  swapAt: string | null;
}>;

/** Throws `restore/foreign-state` for what another engine has written. */
export function parseState(state: RestoreState): SqliteState {
  if (state.engine === 'sqlite') return state as unknown as SqliteState;
  throw new DropbackError('restore/foreign-state', 'the journal holds no SQLite restore', {
    hint: 'this journal was written for another kind of database: point RESTORE_STATE_FILE elsewhere.',
    facts: { engine: state.engine },
  });
}

/** Whether it is of the database at this place; of a side file, whether it lies beside it. */
export function isOf(state: SqliteState, { path, folder }: Location): boolean {
  return state.kind === 'side' ? folderOf(state) === folder : state.path === path;
}

export function actorOf(state: SqliteState): UserIdentity | undefined {
  return actingAs({ uid: state.uid, gid: state.gid }, state.path, 'restore');
}

export function folderOf(state: SqliteState): string {
  return dirname(state.path);
}

export function besideLive(path: string, name: string): string {
  return join(dirname(path), name);
}

export function baseOf(state: SqliteState): string {
  return basename(state.path);
}
