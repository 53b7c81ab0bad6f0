import type { RestoreOutcome, RestoreReport } from '../core/requests/report.ts';
import type { DropbackError } from '../core/runtime/errors.ts';
import type { Job } from './job.ts';
import type { MachineParts } from './parts.ts';
import { makeReport } from './report.ts';
import { fileAway } from './steps/file-away.ts';

/** The end of a job, whatever came of it: post-hook, report, filing. */
export async function conclude(
  job: Job,
  parts: MachineParts,
  end: { readonly outcome: RestoreOutcome; readonly error?: DropbackError },
  late: AbortSignal,
): Promise<RestoreReport> {
  await parts.hooks.after(job, end.outcome, end.error, late);
  const report = makeReport(job, parts, end.outcome, end.error);
  await fileAway(job, parts, report);
  return report;
}
