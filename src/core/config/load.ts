import { hideInErrors } from '../runtime/hidden.ts';
import { parseBackupConfig } from './backup.ts';
import { type CliConfig, parseCliConfig } from './cli.ts';
import type { BackupConfig, CommonConfig, RestoreConfig } from './config.ts';
import { type Databases, parseDatabases } from './databases.ts';
import { machine } from './environment.ts';
import { parseRestoreConfig } from './restore.ts';

/** The configuration that this process was started with. Throws `config/invalid` (exit 78). */
export function loadBackupConfigs(): Databases<BackupConfig> {
  return hiding(parseDatabases(parseBackupConfig, process.env));
}

export function loadRestoreConfigs(): Databases<RestoreConfig> {
  return hiding(parseDatabases(parseRestoreConfig, process.env));
}

export function loadCliConfig(): CliConfig {
  return parseCliConfig(process.env, machine, hiding);
}

/** Of several databases each knows the secrets of all. */
function hiding<T extends CommonConfig>(databases: Databases<T>): Databases<T> {
  hideInErrors(databases.all[0].alerts.secrets);
  return databases;
}
