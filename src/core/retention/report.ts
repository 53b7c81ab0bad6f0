import type { Others } from '../archive/origin.ts';
import type { ErrorReport } from '../runtime/errors.ts';
import type { RetentionPlan } from './plan.ts';

/** What retention wants to do in one store, and what it did; JSON. */
export interface StorePrune {
  readonly where: 'local' | 's3';
  /** For messages, without secrets. */
  readonly store: string;
  readonly dryRun: boolean;
  /** Undefined where the store could not be asked. */
  readonly plan?: RetentionPlan;
  /** Why nothing is removed there though a plan is made. */
  readonly onlyPlanned?: string;
  /** Backups of another db-backup that writes there under the same name: no part of the plan. */
  readonly others?: Others;
  /** Size of each archive, by id. */
  readonly bytes: Readonly<Record<string, number>>;
  /** Ids, in the order in which they went. */
  readonly removed: readonly string[];
  readonly error?: ErrorReport;
}

/** What to do about `others`. */
export const OWN_PLACE = 'give each stack a BACKUP_NAME or an S3_PREFIX of its own.';
