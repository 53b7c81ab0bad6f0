import type { Kind } from './errand.ts';

/** What changes the steps that a restore walks through. */
export interface Walk {
  readonly kind: Kind;
  /** For db-restore. */
  readonly settings?: Readonly<Record<string, string>>;
  /** There is no live database: it is made by the restore, as on a new machine. */
  readonly fromNothing?: boolean;
}

export const WALKS = {
  restore: { kind: 'drop' },
  'stop-first': { kind: 'drop', settings: { RESTORE_STOP_FIRST: 'true' } },
  'from-nothing': { kind: 'drop', fromNothing: true },
  undo: { kind: 'undo' },
  into: { kind: 'into' },
  check: { kind: 'check' },
} as const satisfies Readonly<Record<string, Walk>>;

/** The live database is neither changed nor taken away from the application. */
export function leavesLive({ kind }: Walk): boolean {
  return kind === 'into' || kind === 'check';
}
