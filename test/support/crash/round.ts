import type { Target } from './points.ts';
import type { Walk } from './walks.ts';

/** What a round came to. */
export interface Round {
  /** The point at which the daemon died, or undefined where the restore ran through before. */
  readonly killedAt: string | undefined;
  /** Points that the restore passed. */
  readonly points: readonly string[];
}

/** Where the first life ends: at a point, or so many milliseconds after the drop was claimed. */
export type End = { readonly point: Target } | { readonly afterMs: number };

export interface RoundOptions {
  /** What else goes wrong, once the first daemon is dead; may start the next one (`daemon`). */
  readonly between?: () => Promise<void>;
  /** When the statement at whose point the daemon dies comes to the server all the same. */
  readonly late?: Promise<void>;
  /** The second life is killed too, so many milliseconds after its start. */
  readonly secondLifeMs?: number;
}

export interface WorldOptions {
  /** What ends the daemon at a point: killed, or asked to end. */
  readonly signal?: 'SIGKILL' | 'SIGTERM';
  readonly walk?: Walk;
}

export const RUN_THROUGH: End = { point: Number.MAX_SAFE_INTEGER };
