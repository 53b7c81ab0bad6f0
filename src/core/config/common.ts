import { readAlerts } from './alerts.ts';
import type { CommonConfig, DatabaseConfig } from './config.ts';
import { type ConfigHost, Environment, machine, type RawEnvironment } from './environment.ts';
import { defaultName } from './name.ts';
import { configError } from './problems.ts';
import { read, readIfSet } from './reader.ts';
import { readS3 } from './s3.ts';
import { choice, integer, matching, path } from './values.ts';

export const backupName = matching(
  /^[a-z0-9][a-z0-9._-]{0,39}$/,
  'must be 1 to 40 of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit',
  'write for example app-production.',
);

/** Largest uid and gid; the one above means "unchanged" to the kernel. */
const LARGEST_ID = 2 ** 32 - 2;

export const daemonName = choice('db-backup', 'db-restore');

/** What both daemons and the command line read. `database` and `nameAfter` may have had problems. */
export function readCommon(
  environment: Environment,
  database: DatabaseConfig | undefined,
  nameAfter = database,
): Omit<CommonConfig, 'database' | 'warnings'> {
  const s3 = readS3(environment);
  const alerts = readAlerts(environment);
  const name = readIfSet(environment, 'BACKUP_NAME', backupName);
  // Only the command line looks at it, but a wrong one should show.
  readIfSet(environment, 'DROPBACK_DAEMON', daemonName);
  return {
    name: name ?? (nameAfter ? defaultName(nameAfter) : ''),
    backupDir: environment.path(read(environment, 'BACKUP_DIR', path)),
    ...(s3 === undefined ? {} : { s3 }),
    log: {
      level: read(
        environment,
        'LOG_LEVEL',
        choice('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
      ),
      format: read(environment, 'LOG_FORMAT', choice('json', 'text')),
      secrets: alerts.secrets,
    },
    healthPort: read(environment, 'HEALTH_PORT', integer(0, 65_535)),
    alerts,
    owner: readOwner(environment),
  };
}

function readOwner(environment: Environment): CommonConfig['owner'] {
  const uid = read(environment, 'PUID', integer(0, LARGEST_ID));
  if (uid === 0) {
    environment.warn(
      "PUID is 0: database programs run as root and keep the container's capabilities; use the `id -u` of whoever copies files to the folders (0 is only for an engine without root)",
    );
  }
  return { uid, gid: read(environment, 'PGID', integer(0, LARGEST_ID)) };
}

/**
 * Runs one parser over an environment. Throws `config/invalid` with every problem at once.
 * `parse` may return anything where it noted a problem; nobody will see it.
 */
export function parseWith<T>(
  raw: RawEnvironment,
  host: ConfigHost | undefined,
  parse: (environment: Environment) => T | undefined,
): T {
  const environment = new Environment(raw, host ?? machine);
  const config = parse(environment);
  if (environment.problems.length > 0 || config === undefined)
    throw configError(environment.problems, environment.warnings);
  return config;
}
