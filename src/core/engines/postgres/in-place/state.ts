import { DropbackError } from '../../../runtime/errors.ts';
import type { RestoreState } from '../../engine.ts';

/** What the journal keeps of a restore in place. The OID is a decimal string. */
export interface InPlaceState {
  readonly engine: 'postgres';
  readonly mode: 'in-place';
  readonly kind: 'restore' | 'undo';
  /** 16 hex digits, also the name of the safety dump. */
  readonly id: string;
  readonly liveName: string;
  /** Null where it may not be read; none in what was journalled before it was noted. */
  readonly serverId?: string | null;
  readonly liveOid: string;
  /** Archive to load; null until `stage` has been told where it lies. */
  readonly archive: string | null;
  /** Major of the pg_dump that wrote it; 0 where it is unknown. */
  readonly archiveMajor: number;
  /** The archive's tablespaces are all there. */
  readonly tablespaces: boolean;
  /** Rows as JSON of TableCount[]; null where the archive itself is counted (undo). */
  readonly expected: string | null;
  /**
   * Number of the transaction that replaces the content (xid8), durable before its COMMIT is sent:
   * the server knows for long what became of it. Null until it has begun.
   */
  readonly transaction: string | null;
  /** Bytes that the database may have while old and new content are both in it. */
  readonly budgetBytes: number;
  readonly expectedBytes: number;
}

export function isInPlace(state: RestoreState): boolean {
  return state.engine === 'postgres' && state['mode'] === 'in-place';
}

export function toState(state: InPlaceState): RestoreState {
  return { ...state };
}

/** Throws `restore/foreign-state` for anything that this engine has not written itself. */
export function fromState(state: RestoreState): InPlaceState {
  const { kind, id, liveName, liveOid, transaction } = state;
  const valid =
    isInPlace(state) &&
    (kind === 'restore' || kind === 'undo') &&
    /^[0-9a-f]{16}$/.test(String(id)) &&
    typeof liveName === 'string' &&
    /^\d+$/.test(String(liveOid)) &&
    (transaction === null || /^\d+$/.test(String(transaction)));
  if (valid) return state as unknown as InPlaceState;
  throw new DropbackError('restore/foreign-state', 'the journal holds no restore in place', {
    hint: 'this journal was written for another kind of restore: point RESTORE_STATE_FILE elsewhere.',
    facts: { engine: state.engine },
  });
}
