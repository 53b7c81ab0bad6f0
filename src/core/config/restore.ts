import { basename, dirname, relative } from 'node:path';
import { parseSelector } from '../containers/selectors.ts';
import { messageOf } from '../runtime/errors.ts';
import { readAgeIdentity } from './age.ts';
import { parseWith, readCommon } from './common.ts';
import type { ContainersConfig, DatabaseConfig, RestoreConfig } from './config.ts';
import { readDatabase, readIdentity } from './database.ts';
import type { ConfigHost, Environment, RawEnvironment } from './environment.ts';
import { readHooks } from './hooks.ts';
import { read, readIfSet } from './reader.ts';
import { boolean, integer, list, matching, path, seconds, value } from './values.ts';

const HOUR_MS = 3_600_000;
const YEAR_H = 24 * 366;

/** db-restore's configuration. Throws `config/invalid` with every problem at once. */
export function parseRestoreConfig(raw: RawEnvironment, host?: ConfigHost): RestoreConfig {
  return parseWith(raw, host, (environment) => {
    const { database, nameAfter } = readTarget(environment);
    const common = readCommon(environment, database, nameAfter);
    const folders = readFolders(environment, common.backupDir, database);
    const admin = readIdentity(environment, 'RESTORE_ADMIN_URL', database);
    const load = readIdentity(environment, 'RESTORE_LOAD_URL', database);
    const bytes = integer(1024 ** 2, Number.MAX_SAFE_INTEGER, 'bytes');
    const maxStagingBytes = readIfSet(environment, 'RESTORE_MAX_STAGING_BYTES', bytes);
    const dataDir = readIfSet(environment, 'RESTORE_SERVER_DATA_DIR', path);
    const timeoutMs = readIfSet(environment, 'RESTORE_TIMEOUT_SECONDS', seconds(1, 30 * 86_400));
    const hours = integer(0, YEAR_H, 'hours');
    const config = {
      ...common,
      ...folders,
      pollIntervalMs: read(environment, 'RESTORE_POLL_INTERVAL', seconds(0.1, 3600)),
      settleMs: read(environment, 'RESTORE_SETTLE_SECONDS', seconds(0, 86_400)),
      ...(admin === undefined ? {} : { admin }),
      ...(load === undefined ? {} : { load }),
      containers: readContainers(environment),
      ...readAgeIdentity(environment),
      stopFirst: read(environment, 'RESTORE_STOP_FIRST', boolean),
      hooks: readHooks(environment, 'RESTORE'),
      inPlace: read(environment, 'RESTORE_IN_PLACE', boolean),
      ...(maxStagingBytes === undefined ? {} : { maxStagingBytes }),
      ...(dataDir === undefined ? {} : { serverDataDir: environment.path(dataDir) }),
      keepPreviousMs: read(environment, 'RESTORE_KEEP_PREVIOUS_HOURS', hours) * HOUR_MS,
      waitForBackupMs: read(environment, 'RESTORE_WAIT_FOR_BACKUP_SECONDS', seconds(0, 86_400)),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    if (config.alerts.relay && config.healthPort === 0) {
      const hint = 'set HEALTH_PORT to the port at which db-backup fetches the alerts.';
      environment.problem('ALERT_RELAY', 'is set, but there is no health endpoint', hint);
    }
    if (config.inPlace && database?.kind === 'sqlite') {
      environment.warn('RESTORE_IN_PLACE has no effect: the database is SQLite');
    }
    return database && { ...config, database, warnings: environment.warnings };
  });
}

/** RESTORE_SQLITE_PATH overrides the path of DATABASE_URL; the name stays that of the backups. */
function readTarget(environment: Environment): {
  database: DatabaseConfig | undefined;
  nameAfter: DatabaseConfig | undefined;
} {
  const sqlitePath = readIfSet(environment, 'RESTORE_SQLITE_PATH', path);
  const target = sqlitePath && { kind: 'sqlite' as const, path: environment.path(sqlitePath) };
  if (target && !namesDatabase(environment)) return { database: target, nameAfter: target };
  const database = readDatabase(environment);
  if (target && database?.kind === 'postgres') {
    environment.warn('RESTORE_SQLITE_PATH has no effect: the database is PostgreSQL');
    return { database, nameAfter: database };
  }
  return { database: database && (target || database), nameAfter: database };
}

function namesDatabase(environment: Environment): boolean {
  const names = ['DATABASE_URL', 'PGHOST', 'PGDATABASE', 'POSTGRES_DB'] as const;
  return names.some((name) => environment.get(name) !== undefined);
}

const siblings = ['work', 'done', 'failed', 'previous', 'requests'];

function readFolders(
  environment: Environment,
  backupDir: string,
  database: DatabaseConfig | undefined,
): Pick<RestoreConfig, 'watchDir' | 'stateFile'> {
  const watchDir = environment.path(read(environment, 'RESTORE_WATCH_DIR', path));
  const stateFile = environment.path(read(environment, 'RESTORE_STATE_FILE', path));
  if (dirname(watchDir) === watchDir || siblings.includes(basename(watchDir))) {
    environment.problem(
      'RESTORE_WATCH_DIR',
      `may not be the root folder, nor be called ${siblings.join(', ')}: those are made beside it`,
      'name a folder of its own, for example /restore/incoming.',
    );
  }
  // Whatever lies in the drop folder is taken for a drop.
  const misplaced = 'would be taken for a drop: it lies in RESTORE_WATCH_DIR';
  const hint = 'put it beside the drop folder, or elsewhere.';
  if (isWithin(backupDir, watchDir)) environment.problem('BACKUP_DIR', misplaced, hint);
  if (isWithin(stateFile, watchDir)) environment.problem('RESTORE_STATE_FILE', misplaced, hint);
  if (database?.kind === 'sqlite' && isWithin(database.path, watchDir)) {
    const name = environment.get('RESTORE_SQLITE_PATH') ? 'RESTORE_SQLITE_PATH' : 'DATABASE_URL';
    environment.problem(name, misplaced, hint);
  }
  return { watchDir, stateFile };
}

function isWithin(inner: string, outer: string): boolean {
  const way = relative(outer, inner);
  return way === '' || (way !== '..' && !way.startsWith('../'));
}

const dockerHost = value<string>((text) => {
  const trimmed = text.trim().replace(/\/+$/, '');
  if (/^unix:\/\/\/[^\0]+$/.test(trimmed)) return { ok: trimmed };
  const url = /^tcp:\/\/[^/?#@]+$/.test(trimmed)
    ? URL.parse(trimmed.replace(/^tcp/, 'http'))
    : null;
  // URL drops port 80, the default of http; "tcp://host" alone means Docker's 2375.
  if (url?.hostname) {
    const port = url.port || (/:80$/.test(trimmed) ? '80' : '2375');
    return { ok: `tcp://${url.hostname}:${port}` };
  }
  return {
    message: 'must be unix:///path or tcp://host:port',
    hint: 'write unix:///var/run/docker.sock, or tcp://docker-proxy:2375 for a filtering proxy.',
  };
});

const projectName = matching(
  /^[a-z0-9][a-z0-9_-]*$/,
  'must be the name of a Compose project',
  'write it as `docker compose ls` shows it.',
);

function readContainers(environment: Environment): ContainersConfig {
  const project = readIfSet(environment, 'DROPBACK_PROJECT', projectName);
  const hasProject = environment.get('DROPBACK_PROJECT') !== undefined;
  if (environment.raw['DOCKER_TLS_VERIFY']) {
    environment.problem(
      'DOCKER_TLS_VERIFY',
      'asks for TLS to Docker, which is not supported',
      'remove it, and reach Docker through its socket or a filtering proxy on the Compose network.',
    );
  }
  return {
    dockerHost: read(environment, 'DOCKER_HOST', dockerHost),
    ...(project === undefined ? {} : { project }),
    stop: readSelectors(environment, 'RESTORE_STOP_CONTAINERS', hasProject),
    start: readSelectors(environment, 'RESTORE_START_CONTAINERS', hasProject),
    stopGraceSeconds: read(environment, 'RESTORE_STOP_TIMEOUT', integer(0, 3600, 'seconds')),
  };
}

function readSelectors(
  environment: Environment,
  name: 'RESTORE_STOP_CONTAINERS' | 'RESTORE_START_CONTAINERS',
  hasProject: boolean,
): readonly string[] {
  const selectors = readIfSet(environment, name, list) ?? [];
  for (const text of selectors) {
    try {
      const { kind } = parseSelector(text);
      if (kind === 'name' || hasProject) continue;
      const hint = 'set DROPBACK_PROJECT to the Compose project that it should look in.';
      environment.problem(name, `selects by ${kind} (${text}), without a project`, hint);
    } catch (error) {
      const hint =
        'write exact container names, service:NAME or label:KEY=VALUE, separated by commas.';
      environment.problem(name, messageOf(error), hint);
    }
  }
  return selectors;
}
