import type { CheckResult } from '../core/engines/engine.ts';
import { OWN_PLACE, type StorePrune } from '../core/retention/report.ts';

/** Of a store that could not be asked nothing is said here: its own checks do. */
export function placeChecks(reports: readonly StorePrune[]): CheckResult[] {
  return reports.flatMap(({ where, store, plan, others }): CheckResult[] => {
    if (where !== 's3' || !plan) return [];
    const id = 's3/own-place';
    if (!others?.areWriting) {
      return [{ id, status: 'ok', message: 'no other db-backup writes there under this name' }];
    }
    const message = `another db-backup writes to ${store} too`;
    return [{ id, status: 'warning', message, hint: OWN_PLACE }];
  });
}
