import { DropbackError } from '../runtime/errors.ts';
import { parseBackupConfig } from './backup.ts';
import { daemonName, parseWith, readCommon } from './common.ts';
import type { BackupConfig, CommonConfig, RestoreConfig } from './config.ts';
import { readDatabase } from './database.ts';
import { type Databases, parseDatabases } from './databases.ts';
import { type ConfigHost, Environment, machine, type RawEnvironment } from './environment.ts';
import { readIfSet } from './reader.ts';
import { parseRestoreConfig } from './restore.ts';

/**
 * The command line runs in either daemon's container and must not fail for a variable that only
 * the other daemon reads: each command parses what it needs. Each throws `config/invalid`, and
 * `request/which-database` where there are several and none was chosen.
 */
export interface CliConfig {
  readonly common: () => CommonConfig;
  readonly backup: () => BackupConfig;
  readonly restore: () => RestoreConfig;
  /** Whose container this is, if anybody's. Never throws: the others tell what is wrong. */
  readonly daemon: () => 'db-backup' | 'db-restore' | undefined;
  /** Those of DATABASES_FILE; undefined without it. */
  readonly names: () => readonly string[] | undefined;
  /** The same for one of them. Throws `request/no-such-database`. */
  readonly of: (name: string) => CliConfig;
}

/** `onRead` gets what was parsed, each time; it returns it. */
export function parseCliConfig(
  raw: RawEnvironment,
  host: ConfigHost = machine,
  onRead: <T extends CommonConfig>(all: Databases<T>) => Databases<T> = (all) => all,
): CliConfig {
  const common = once(() => onRead(parseDatabases(parseCommonConfig, raw, host)));
  const backup = once(() => onRead(parseDatabases(parseBackupConfig, raw, host)));
  const restore = once(() => onRead(parseDatabases(parseRestoreConfig, raw, host)));
  const choose = (name?: string): CliConfig => ({
    common: () => chosen(common(), name),
    backup: () => chosen(backup(), name),
    restore: () => chosen(restore(), name),
    daemon: () => readIfSet(new Environment(raw, host), 'DROPBACK_DAEMON', daemonName),
    names: () => (isSeveral(raw) ? common().all.map((one) => one.name) : undefined),
    of(other) {
      chosen(common(), other);
      return choose(other);
    },
  });
  return choose();
}

function isSeveral(raw: RawEnvironment): boolean {
  return Boolean(raw['DATABASES_FILE'] || raw['DATABASES_FILE_FILE']);
}

function once<T>(parse: () => T): () => T {
  let found: { readonly value: T } | undefined;
  return () => {
    found ??= { value: parse() };
    return found.value;
  };
}

function chosen<T extends CommonConfig>({ all, areSeveral }: Databases<T>, name?: string): T {
  if (name === undefined && !areSeveral) return all[0];
  const found = all.find((one) => one.name === name);
  if (found) return found;
  const names = all.map((one) => one.name).join(', ');
  if (name === undefined) {
    throw new DropbackError('request/which-database', 'there are several databases', {
      hint: `add --database NAME; they are: ${names}`,
    });
  }
  throw new DropbackError('request/no-such-database', `there is no database ${name}`, {
    hint: areSeveral ? `in DATABASES_FILE are: ${names}` : `the only one is ${names}.`,
  });
}

function parseCommonConfig(raw: RawEnvironment, host?: ConfigHost): CommonConfig {
  return parseWith(raw, host, (environment) => {
    const database = readDatabase(environment);
    const common = readCommon(environment, database);
    return database && { ...common, database, warnings: environment.warnings };
  });
}
