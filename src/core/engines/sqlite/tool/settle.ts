import { chmodSync } from 'node:fs';
import { messageOf } from '../../../runtime/errors.ts';
import type { SettleRequest } from '../protocol.ts';
import { open, pragma, untilFree } from './connection.ts';
import { requireUsable } from './probe.ts';

/**
 * Gives the live file the journal mode and mode bits that it is to have. Never fails for it: the
 * database is whole in every mode.
 */
export async function settle(request: SettleRequest): Promise<{ warnings: string[] }> {
  const warnings: string[] = [];
  requireUsable(request.path);
  const database = open(request.path, 0);
  try {
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    const wanted = request.journalMode === 'wal' ? 'wal' : 'delete';
    const isWal = pragma(database, 'journal_mode') === 'wal';
    if (isWal !== (wanted === 'wal')) {
      const isSet = await untilFree(5000, () => {
        return pragma(database, `journal_mode = ${wanted}`) === wanted;
      });
      if (!isSet)
        warnings.push(`the journal mode could not be set to ${wanted}: the file is in use`);
    }
  } finally {
    database.close();
  }
  try {
    if (request.mode !== null) chmodSync(request.path, request.mode);
  } catch (error) {
    warnings.push(`the mode bits could not be set: ${messageOf(error)}`);
  }
  return { warnings };
}
