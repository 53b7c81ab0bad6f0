import type { CheckResult } from '../engines/engine.ts';
import type { Logger } from './log.ts';

/** At a daemon's start: what would fail tonight is in the log now. */
export function tellChecks(checks: readonly CheckResult[], log: Logger): void {
  for (const { id, status, message, hint } of checks) {
    if (status === 'failed') log.error({ check: id, hint }, message);
    else if (status === 'warning') log.warn({ check: id, hint }, message);
    else log.debug({ check: id }, message);
  }
}
