import type { MachineParts } from './parts.ts';
import { keptUntil } from './report.ts';
import type { StatusBoard } from './status-board.ts';

/** Kept databases as the records say, for status. A fault is logged: nothing depends on it. */
export async function notePrevious(
  parts: Pick<MachineParts, 'previous' | 'settings' | 'log'>,
  board: StatusBoard,
): Promise<void> {
  try {
    const { records } = await parts.previous.list();
    board.previous = records.map(({ previous, replacedBy }) => ({
      ...previous,
      replacedBy,
      keptUntil: keptUntil(previous.replacedAt, parts.settings.keepPreviousMs),
    }));
  } catch (error) {
    parts.log.warn({ error }, 'the kept databases could not be listed');
  }
  await board.publish();
}
