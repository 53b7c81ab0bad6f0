import type { TableCount } from '../archive/manifest.ts';
import type { ErrorReport } from '../runtime/errors.ts';

/** `<name>.report.json`, version 1: what became of a drop or of a request. */
export interface RestoreReport {
  readonly format: 'dropback-report';
  readonly version: 1;
  /** Of the restore: `20261122T191500Z-1f2e3d4c`; also in the log. */
  readonly id: string;
  readonly kind: 'restore' | 'check' | 'undo';
  readonly outcome: RestoreOutcome;
  /** Name of the dropped file, made harmless; of the backup, or of the previous database. */
  readonly source: string;
  readonly bytes?: number;
  readonly sha256?: string;
  /** The backup of ours that the file is, when its checksum is in the catalogue. */
  readonly backupId?: string;
  readonly producer?: string;
  /** `sqlite:////data/app.db`, or the side target. */
  readonly target: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Milliseconds in all. */
  readonly durationMs: number;
  /** How often it was begun: more than 1 when the daemon was interrupted. */
  readonly attempts: number;
  readonly steps: readonly StepReport[];
  /** From *stop confirmed* to *start sent*; absent where nothing was stopped. */
  readonly downtimeMs?: number;
  /** A container that should be up again isn't, or isn't healthy: `warnings` says which. */
  readonly needsAttention?: boolean;
  /** Rows of each table in what was loaded. */
  readonly tables?: readonly TableCount[];
  readonly rows?: number;
  /** What is or would be different from the database that was live before. */
  readonly differences?: readonly string[];
  readonly stopped?: readonly string[];
  readonly previous?: { readonly id: string; readonly name: string; readonly keptUntil: string };
  readonly warnings: readonly string[];
  readonly error?: ErrorReport;
}

/**
 * `refused`: the input was at fault. `failed`: something else was. The live database is untouched
 * in both.
 */
export type RestoreOutcome = 'restored' | 'checked' | 'undone' | 'refused' | 'failed';

export interface StepReport {
  readonly name: string;
  readonly durationMs: number;
}
