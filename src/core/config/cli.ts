import { parseBackupConfig } from './backup.ts';
import { parseWith, readCommon } from './common.ts';
import type { BackupConfig, CommonConfig, RestoreConfig } from './config.ts';
import { readDatabase } from './database.ts';
import type { ConfigHost, RawEnvironment } from './environment.ts';
import { parseRestoreConfig } from './restore.ts';

/**
 * The command line runs in either daemon's container and must not fail for a variable that only
 * the other daemon reads: each command parses what it needs. Each throws `config/invalid`.
 */
export interface CliConfig {
  readonly common: () => CommonConfig;
  readonly backup: () => BackupConfig;
  readonly restore: () => RestoreConfig;
}

export function parseCliConfig(raw: RawEnvironment, host?: ConfigHost): CliConfig {
  return {
    common: () => parseCommonConfig(raw, host),
    backup: () => parseBackupConfig(raw, host),
    restore: () => parseRestoreConfig(raw, host),
  };
}

function parseCommonConfig(raw: RawEnvironment, host?: ConfigHost): CommonConfig {
  return parseWith(raw, host, (environment) => {
    const database = readDatabase(environment);
    const common = readCommon(environment, database);
    return database && { ...common, database, warnings: environment.warnings };
  });
}
