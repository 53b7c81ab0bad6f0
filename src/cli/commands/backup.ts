import { access, constants } from 'node:fs/promises';
import { DropbackError, messageOf } from '../../core/runtime/errors.ts';
import type { CliContext } from '../context.ts';
import { ProgressBar } from '../progress-bar.ts';
import { bytesText, countText, durationText } from '../units.ts';

export interface BackupOptions {
  readonly json?: boolean;
}

/** One backup, now, under the same lock as the daemon's. */
export async function backup(options: BackupOptions, context: CliContext): Promise<void> {
  const { terminal, clock, operations, signal } = context;
  const bar = new ProgressBar(terminal);
  const started = clock.monotonic();
  try {
    const config = context.config.backup();
    await requireWritable(config.backupDir);
    const manifest = await operations.backupOnce(config, signal, (message) =>
      bar.update(message, undefined),
    );
    bar.clear();
    if (options.json) {
      terminal.out(JSON.stringify(manifest, null, 2));
      return;
    }
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    const size = bytesText(manifest.archive.bytes);
    const tables = `${manifest.tables.length} table${manifest.tables.length === 1 ? '' : 's'}`;
    const took = durationText(clock.monotonic() - started);
    terminal.out(
      `${manifest.id}: ${size}, ${countText(rows)} rows in ${tables}, verified, ${took}`,
    );
    for (const warning of manifest.warnings) terminal.err(`warning: ${warning}`);
  } finally {
    bar.clear();
  }
}

/** db-restore's container mounts the backups too, to read them. A folder that is missing is made. */
async function requireWritable(folder: string): Promise<void> {
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new DropbackError(
      'backup/not-writable',
      `no backup can be made here: ${messageOf(error)}`,
      {
        hint: 'run it in the container of db-backup: docker compose exec db-backup dropback backup. If this is it, the folder must be writable for PUID.',
        cause: error,
      },
    );
  }
}
