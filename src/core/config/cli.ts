import { parseBackupConfig } from './backup.ts';
import { daemonName, parseWith, readCommon } from './common.ts';
import type { BackupConfig, CommonConfig, RestoreConfig } from './config.ts';
import { readDatabase } from './database.ts';
import { type ConfigHost, Environment, machine, type RawEnvironment } from './environment.ts';
import { readIfSet } from './reader.ts';
import { parseRestoreConfig } from './restore.ts';

/**
 * The command line runs in either daemon's container and must not fail for a variable that only
 * the other daemon reads: each command parses what it needs. Each throws `config/invalid`.
 */
export interface CliConfig {
  readonly common: () => CommonConfig;
  readonly backup: () => BackupConfig;
  readonly restore: () => RestoreConfig;
  /** Whose container this is, if anybody's. Never throws: the others tell what is wrong. */
  readonly daemon: () => 'db-backup' | 'db-restore' | undefined;
}

export function parseCliConfig(raw: RawEnvironment, host?: ConfigHost): CliConfig {
  return {
    common: () => parseCommonConfig(raw, host),
    backup: () => parseBackupConfig(raw, host),
    restore: () => parseRestoreConfig(raw, host),
    daemon: () => readIfSet(new Environment(raw, host ?? machine), 'DROPBACK_DAEMON', daemonName),
  };
}

function parseCommonConfig(raw: RawEnvironment, host?: ConfigHost): CommonConfig {
  return parseWith(raw, host, (environment) => {
    const database = readDatabase(environment);
    const common = readCommon(environment, database);
    return database && { ...common, database, warnings: environment.warnings };
  });
}
