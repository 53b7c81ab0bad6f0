import { sortKept } from './kept.ts';
import type { MachineParts } from './parts.ts';
import { keptUntil } from './report.ts';
import type { StatusBoard } from './status-board.ts';

/** Kept databases as the records say, for status. A fault is logged: nothing depends on it. */
export async function notePrevious(
  parts: Pick<MachineParts, 'engine' | 'previous' | 'settings' | 'log'>,
  board: StatusBoard,
): Promise<void> {
  try {
    const { records } = await parts.previous.list();
    const { ours, others } = await sortKept(records, parts.engine);
    board.previous = [...ours, ...others].map((record) => ({
      ...record.previous,
      replacedBy: record.replacedBy,
      keptUntil: keptUntil(record.previous.replacedAt, parts.settings.keepPreviousMs),
      ...(others.includes(record) ? { ofAnother: true as const } : {}),
    }));
  } catch (error) {
    parts.log.warn({ error }, 'the kept databases could not be listed');
  }
  await board.publish();
}
