import { DropbackError } from '../../../runtime/errors.ts';
import type { RestoreState } from '../../engine.ts';
import { parseDatabaseName } from './names.ts';

/**
 * What the journal keeps of a PostgreSQL restore. OIDs are decimal strings. `stagingOid` is null
 * from the moment the name is chosen until the database exists and its OID has been saved.
 */
export interface PostgresRestoreState {
  readonly engine: 'postgres';
  readonly kind: 'restore' | 'undo';
  readonly id: string;
  /** `side`: nothing is swapped, staging is renamed to `liveName`. */
  readonly target: 'live' | 'side';
  /** Nothing is swapped: a foreign file's objects stay with the load role until staging is dropped. */
  readonly rehearsal?: boolean;
  /** The name that staging gets in the end. */
  readonly liveName: string;
  /** Null where it may not be read; none in what was journalled before it was noted. */
  readonly serverId?: string | null;
  /** Null where there was no database of that name. */
  readonly liveOid: string | null;
  /** Who owns everything that nobody else owns. */
  readonly owner: string;
  readonly stagingName: string;
  readonly stagingOid: string | null;
  readonly previousName: string;
  /** Role made for this restore; null where a trusted archive or RESTORE_LOAD_URL needs none. */
  readonly loadRole: string | null;
  /** Roles made so that the load finds them; dropped at the end of the check. */
  readonly placeholders: readonly string[];
}

/** JSON for the journal. */
export function toState(state: PostgresRestoreState): RestoreState {
  return { ...state };
}

/** Throws `restore/foreign-state` for anything that this engine has not written itself. */
export function fromState(state: RestoreState): PostgresRestoreState {
  const value = state as Partial<Record<keyof PostgresRestoreState, unknown>>;
  const isText = (key: keyof PostgresRestoreState) => typeof value[key] === 'string';
  const isTextOrNull = (key: keyof PostgresRestoreState) => isText(key) || value[key] === null;
  const valid =
    value.engine === 'postgres' &&
    (value.kind === 'restore' || value.kind === 'undo') &&
    (value.target === 'live' || value.target === 'side') &&
    ['id', 'liveName', 'owner', 'stagingName', 'previousName'].every((key) =>
      isText(key as keyof PostgresRestoreState),
    ) &&
    isTextOrNull('liveOid') &&
    isTextOrNull('stagingOid') &&
    isTextOrNull('loadRole') &&
    Array.isArray(value.placeholders) &&
    ['staging', 'previous'].includes(parseDatabaseName(value.stagingName as string)?.kind ?? '') &&
    parseDatabaseName(value.previousName as string)?.kind === 'previous';
  if (valid) return value as PostgresRestoreState;
  throw new DropbackError('restore/foreign-state', 'the journal holds no PostgreSQL restore', {
    hint: 'this journal was written for another kind of database: point RESTORE_STATE_FILE elsewhere.',
    facts: { engine: String(value.engine) },
  });
}
