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
