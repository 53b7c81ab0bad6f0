import type { Logger } from '../core/observability/log.ts';
import type { FinishedRun } from './run.ts';

/** In the log, with what the run wants to have noticed. */
export function tellFinished({ manifest, durations }: FinishedRun, log: Logger): void {
  const { id, archive, tables, warnings } = manifest;
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  const facts = { id, bytes: archive.bytes, tables: tables.length, rows, ms: durations };
  log.info(facts, 'backup listed');
  for (const warning of warnings) log.warn({ id }, warning);
}
