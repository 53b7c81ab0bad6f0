import type { CliContext } from '../context.ts';
import { undoCommand } from '../databases.ts';
import { tableLines } from '../table.ts';
import { printable } from '../terminal.ts';
import { bytesText, durationText } from '../units.ts';

export interface PreviousOptions {
  readonly json?: boolean;
}

/** What restores have replaced and is still kept. */
export async function previous(options: PreviousOptions, context: CliContext): Promise<void> {
  const { terminal, operations, clock, signal } = context;
  const config = context.config.restore();
  const rows = await operations.listPrevious(config, signal);
  if (options.json) {
    terminal.out(JSON.stringify(rows, null, 2));
    return;
  }
  if (rows.length === 0) {
    terminal.out('no previous database is kept');
    return;
  }
  const now = clock.now().getTime();
  const columns = [
    { title: 'id' },
    { title: 'replaced' },
    { title: 'kept for' },
    { title: 'size', right: true },
    { title: 'replaced by' },
  ];
  const lines = rows.map((row) => [
    row.id,
    `${durationText(now - Date.parse(row.replacedAt))} ago`,
    row.ofAnother ? 'see below' : durationText(Date.parse(row.keptUntil) - now),
    bytesText(row.bytes),
    printable(row.replacedBy),
  ]);
  for (const line of tableLines(columns, lines)) terminal.out(line);
  for (const { id, name } of rows.filter((row) => row.ofAnother)) {
    terminal.out(
      `${id} was kept of another database than the one that is configured now: it stays until ${printable(name)} and previous/${id}.json are removed by hand`,
    );
  }
  if (rows.some((row) => !row.ofAnother)) {
    terminal.out(`\`${undoCommand(config)}\` brings the newest back`);
  }
}
