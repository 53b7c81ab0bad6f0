import { errorReport, messageOf } from '../../runtime/errors.ts';
import type { CheckResult } from '../engine.ts';

/** A check whose error is its finding; only an abort is thrown on. */
export async function guarded(
  id: string,
  signal: AbortSignal,
  check: () => Promise<CheckResult>,
): Promise<CheckResult> {
  try {
    return await check();
  } catch (error) {
    return failure(id, error, signal);
  }
}

/** The finding that an error is. Throws it where the checks were aborted. */
export function failure(id: string, error: unknown, signal: AbortSignal): CheckResult {
  if (signal.aborted) throw error;
  return { id, status: 'failed', message: messageOf(error), hint: errorReport(error).hint };
}
