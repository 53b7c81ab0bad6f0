import { parseBackupConfig } from './backup.ts';
import { type CliConfig, parseCliConfig } from './cli.ts';
import type { BackupConfig, RestoreConfig } from './config.ts';
import { parseRestoreConfig } from './restore.ts';

/** The configuration that this process was started with. Throws `config/invalid` (exit 78). */
export function loadBackupConfig(): BackupConfig {
  return parseBackupConfig(process.env);
}

export function loadRestoreConfig(): RestoreConfig {
  return parseRestoreConfig(process.env);
}

export function loadCliConfig(): CliConfig {
  return parseCliConfig(process.env);
}
