import { EXIT_CODES, type RequestResult } from '../core/requests/protocol.ts';
import type { RestoreOutcome, RestoreReport } from '../core/requests/report.ts';
import { type DropbackError, errorReport } from '../core/runtime/errors.ts';
import type { Job } from './job.ts';
import type { JobRecord } from './journal/record.ts';
import type { MachineParts } from './parts.ts';

/** Everything that is known at the end of a job. */
export function makeReport(
  job: Job,
  parts: Pick<MachineParts, 'engine' | 'clock' | 'settings'>,
  outcome: RestoreOutcome,
  error?: DropbackError,
): RestoreReport {
  const { record } = job;
  const { target, startedAt, id, kind, name } = record.job;
  const finished = parts.clock.now();
  const durationMs = Math.max(0, finished.getTime() - Date.parse(startedAt));
  return {
    format: 'dropback-report',
    version: 1,
    id,
    kind,
    outcome,
    source: name,
    target: target.kind === 'side' ? target.name : parts.engine.description,
    startedAt,
    finishedAt: finished.toISOString(),
    durationMs,
    attempts: record.attempt,
    steps: record.steps,
    ...contentFacts(record),
    ...whatHappened(record, parts.settings.keepPreviousMs),
    warnings: record.warnings,
    ...(error ? { error: errorReport(error) } : {}),
  };
}

function contentFacts(record: JobRecord): Partial<RestoreReport> {
  const { claimed, backupOfOurs, inspection, check } = record;
  return {
    ...(claimed ? { bytes: claimed.bytes, sha256: claimed.sha256 } : {}),
    ...(backupOfOurs ? { backupId: backupOfOurs } : {}),
    ...(inspection ? { producer: inspection.producer, differences: inspection.differences } : {}),
    ...(check ? { tables: check.tables, rows: totalRows(check.tables) } : {}),
  };
}

function whatHappened(record: JobRecord, keepPreviousMs: number): Partial<RestoreReport> {
  const { downtimeMs, stopped, replaced, needsAttention } = record;
  return {
    ...(stopped ? { stopped } : {}),
    ...(downtimeMs === undefined ? {} : { downtimeMs }),
    ...(needsAttention ? { needsAttention } : {}),
    ...(replaced
      ? {
          previous: {
            id: replaced.id,
            name: replaced.name,
            keptUntil: keptUntil(replaced.replacedAt, keepPreviousMs),
          },
        }
      : {}),
  };
}

/** ISO 8601, UTC. */
export function keptUntil(replacedAt: string, keepPreviousMs: number): string {
  return new Date(Date.parse(replacedAt) + keepPreviousMs).toISOString();
}

function totalRows(tables: readonly { readonly rows: number }[]): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0);
}

/** Input that is at fault, or what was asked for, is refused; everything else failed. */
export function outcomeOf(error: DropbackError): 'refused' | 'failed' {
  return /^(drop\/|request\/|hook\/|restore\/(side-|previous-)|store\/(not-found|clock-doubt|origin-doubt)$)/.test(
    error.code,
  )
    ? 'refused'
    : 'failed';
}

/** Once a job, at its end. */
export function logReport(job: Job, report: RestoreReport): void {
  const { format: _format, version: _version, error, ...facts } = report;
  // On a line for people a report is too long: what they ask first is beside it.
  const { durationMs, downtimeMs, rows } = report;
  const brief = { durationMs, downtimeMs, rows, report: facts };
  if (error) job.log.error({ ...brief, error }, `${report.outcome}: ${error.message}`);
  else job.log.info(brief, `${report.outcome} ${report.source}`);
}

/** `attention`: containers are still owed their start. */
export function resultFor(report: RestoreReport, attention: boolean): RequestResult {
  if (report.outcome === 'refused') return { exitCode: EXIT_CODES.refused, report };
  if (report.outcome === 'failed') return { exitCode: EXIT_CODES.failed, report };
  const isWell = !attention && !report.needsAttention;
  return { exitCode: isWell ? EXIT_CODES.done : EXIT_CODES.needsAttention, report };
}
