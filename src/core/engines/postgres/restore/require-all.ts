import { DropbackError } from '../../../runtime/errors.ts';
import type { CheckResult } from '../../engine.ts';

/** Everything that is wrong at once: nobody wants to hear of the next one after each attempt. */
export function requireAll(results: readonly CheckResult[], code = 'drop/not-possible-here'): void {
  const failed = results.filter((result) => result.status === 'failed');
  if (failed.length === 0) return;
  throw new DropbackError(code, failed.map((one) => one.message).join('; '), {
    hint: failed.flatMap((one) => one.hint ?? []).join(' '),
    facts: { checks: failed },
  });
}
