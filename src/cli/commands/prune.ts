import { parseArchiveId } from '../../core/archive/archive-name.ts';
import type { StorePrune } from '../../core/retention/report.ts';
import type { CliContext } from '../context.ts';
import { requireBackupContainer } from '../own-container.ts';
import { tableLines } from '../table.ts';
import { colour, printable, type Terminal } from '../terminal.ts';
import { bytesText, counted, durationText } from '../units.ts';

export interface PruneOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Retention now, with a reason for each backup; exits with 1 when a store could not be pruned. */
export async function prune(options: PruneOptions, context: CliContext): Promise<void> {
  const { terminal, operations, signal } = context;
  requireBackupContainer('prune', context);
  const config = context.config.backup();
  const reports = await operations.prune(config, options.dryRun === true, signal);
  if (options.json) terminal.out(JSON.stringify(reports, null, 2));
  else for (const report of reports) print(report, context);
  context.setExitCode(reports.some(({ error }) => error) ? 1 : 0);
}

function print(report: StorePrune, { terminal, clock }: CliContext): void {
  const { store, plan, error, onlyPlanned, others, bytes } = report;
  terminal.out(printable(store));
  if (plan) {
    const now = clock.now().getTime();
    const row = (verb: string, id: string, reason: string) => {
      const at = parseArchiveId(id)?.at.getTime() ?? now;
      return [verb, id, durationText(now - at), bytesText(bytes[id] ?? 0), printable(reason)];
    };
    const rows = [
      ...plan.keep.map(({ id, reasons }) => row('keep', id, reasons.join(', '))),
      ...plan.remove.toReversed().map(({ id, reason }) => row(verbOf(report, id), id, reason)),
    ];
    const columns = [
      { title: '' },
      { title: 'id' },
      { title: 'age', right: true },
      { title: 'size', right: true },
      { title: 'why' },
    ];
    if (rows.length > 0) {
      for (const line of tableLines(columns, rows)) terminal.out(`  ${line}`);
    }
    terminal.out(`  ${summary(report)}`);
    if (plan.held) tell(terminal, 'yellow', `nothing is removed: ${plan.held}`);
    if (others)
      tell(
        terminal,
        'yellow',
        `${counted(others.ids.length, 'backup')} of another db-backup left alone`,
      );
    if (onlyPlanned) tell(terminal, 'yellow', `only the plan: ${onlyPlanned}`);
  }
  if (!error) return;
  tell(terminal, 'red', `${error.code}: ${printable(error.message)}`);
  terminal.out(`    → ${printable(error.hint)}`);
}

/** What has really been done is told, not what was planned. */
function verbOf({ dryRun, onlyPlanned, removed }: StorePrune, id: string): string {
  if (dryRun || onlyPlanned !== undefined) return 'remove';
  return removed.includes(id) ? 'removed' : 'not removed';
}

function summary({ plan, dryRun, onlyPlanned, removed, bytes }: StorePrune): string {
  const isPlan = dryRun || onlyPlanned !== undefined;
  const gone = isPlan ? (plan?.remove.map(({ id }) => id) ?? []) : removed;
  const freed = bytesText(gone.reduce((sum, id) => sum + (bytes[id] ?? 0), 0));
  const kept = `${plan?.keep.length ?? 0} kept`;
  return isPlan
    ? `${kept}, ${gone.length} to remove (${freed})`
    : `${kept}, ${gone.length} removed (${freed})`;
}

function tell(terminal: Terminal, name: 'yellow' | 'red', text: string): void {
  terminal.out(`  ${colour(terminal, name, text)}`);
}
