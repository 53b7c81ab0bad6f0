import { readAgeRecipients } from './age.ts';
import { parseWith, readCommon } from './common.ts';
import type { BackupConfig } from './config.ts';
import { readDatabase } from './database.ts';
import type { ConfigHost, Environment, RawEnvironment } from './environment.ts';
import { readHooks } from './hooks.ts';
import { readKeep } from './keep.ts';
import { read, readIfSet } from './reader.ts';
import { readSchedule } from './schedule.ts';
import { boolean, choice, integer, list } from './values.ts';
import { readVerify } from './verify.ts';

/** Within 2% of the size that 3 reaches on dumps, at two thirds of its time. */
const COMPRESSION_LEVEL = 2;

const WEEK_S = 7 * 86_400;

/** db-backup's configuration. Throws `config/invalid` with every problem at once. */
export function parseBackupConfig(raw: RawEnvironment, host?: ConfigHost): BackupConfig {
  return parseWith(raw, host, (environment) => {
    const database = readDatabase(environment);
    const common = readCommon(environment, database);
    const timeout = read(environment, 'BACKUP_TIMEOUT_SECONDS', integer(1, WEEK_S, 'seconds'));
    const jobs = readIfSet(environment, 'BACKUP_JOBS', integer(1, 64));
    const config = {
      ...common,
      schedule: readSchedule(environment),
      onStart: read(environment, 'BACKUP_ON_START', boolean),
      atOnce: read(environment, 'BACKUP_AT_ONCE', integer(1, 64)),
      timeoutMs: timeout * 1000,
      ...(jobs === undefined ? {} : { jobs }),
      nice: read(environment, 'BACKUP_NICE', integer(0, 19)),
      compressionLevel: COMPRESSION_LEVEL,
      excludeTableData: readIfSet(environment, 'BACKUP_EXCLUDE_TABLE_DATA', list) ?? [],
      rowCounts: read(environment, 'BACKUP_ROW_COUNTS', choice('exact', 'archive')),
      verify: readVerify(environment, database),
      ageRecipients: readAgeRecipients(environment),
      rolePasswords: read(environment, 'BACKUP_ROLE_PASSWORDS', boolean),
      hooks: readHooks(environment, 'BACKUP'),
      retention: { local: readKeep(environment, 'BACKUP'), s3: readKeep(environment, 'S3') },
    };
    if (config.ageRecipients.length > 0) requireEncryptable(environment, config);
    else if (config.rolePasswords) {
      environment.problem(
        'BACKUP_ROLE_PASSWORDS',
        'needs BACKUP_AGE_RECIPIENTS: passwords are not stored in the clear',
        'encrypt the backups, or remove it and give the roles their passwords after a restore.',
      );
    }
    if (database?.kind === 'sqlite' && config.excludeTableData.length > 0) {
      environment.problem(
        'BACKUP_EXCLUDE_TABLE_DATA',
        'is only for PostgreSQL: a SQLite backup is the whole file',
        'remove it.',
      );
    }
    return database && { ...config, database, warnings: environment.warnings };
  });
}

/** What can't be had together with backups that this host itself can't read. */
function requireEncryptable(
  environment: Environment,
  { jobs = 1, verify }: Pick<BackupConfig, 'jobs' | 'verify'>,
): void {
  if (jobs > 1) {
    environment.warn(
      'BACKUP_JOBS has no effect with BACKUP_AGE_RECIPIENTS: several jobs would write plaintext to the volume, so one dumps into the encryption',
    );
  }
  if (verify.mode !== 'restore') return;
  environment.problem(
    'BACKUP_VERIFY',
    '= restore needs to read the backups, which BACKUP_AGE_RECIPIENTS makes unreadable here',
    'set it to archive (each backup is read back whole before it is encrypted), and rehearse where the identity is: `dropback check latest` in db-restore.',
  );
}
