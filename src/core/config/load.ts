import { parseBackupConfig } from './backup.ts';
import { type CliConfig, parseCliConfig } from './cli.ts';
import type { BackupConfig, RestoreConfig } from './config.ts';
import { type Databases, parseDatabases } from './databases.ts';
import { parseRestoreConfig } from './restore.ts';

/** The configuration that this process was started with. Throws `config/invalid` (exit 78). */
export function loadBackupConfigs(): Databases<BackupConfig> {
  return parseDatabases(parseBackupConfig, process.env);
}

export function loadRestoreConfigs(): Databases<RestoreConfig> {
  return parseDatabases(parseRestoreConfig, process.env);
}

export function loadCliConfig(): CliConfig {
  return parseCliConfig(process.env);
}
